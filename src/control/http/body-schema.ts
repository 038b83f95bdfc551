/**
 * Checks a JSON body against its schema; each error has a JSON Pointer.
 */
import type { z } from 'zod'
import { didYouMean, MAX_PROBLEMS, pointerOf } from '../../rules/values/problem.ts'
import { type FieldError, invalidBody } from './problem.ts'

type Issue = z.core.$ZodIssue

/**
 * The body as its schema reads it.
 * @throws {AdminProblem} invalid: with the errors
 */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  const errors = result.error.issues.flatMap(errorsOf)
  throw invalidBody(
    errors.slice(0, MAX_PROBLEMS).map((errorOf) => errorOf()),
    Math.max(0, errors.length - MAX_PROBLEMS),
  )
}

/** Each as a function: only the errors that are told are worth their search for what was meant. */
function errorsOf(issue: Issue): (() => FieldError)[] {
  const path = issue.path as (string | number)[]
  if (issue.code !== 'unrecognized_keys') {
    const detail = path.length === 0 && issue.code === 'invalid_type' ? 'expected an object' : issue.message
    return [() => ({ pointer: pointerOf(path), detail })]
  }
  // The message of an unknown key lists the known ones; see rules/schema.ts.
  return issue.keys.map((key) => () => {
    const hint = didYouMean(key, issue.message.split(' '))
    return { pointer: pointerOf([...path, key]), detail: 'unknown member', ...(hint === undefined ? {} : { hint }) }
  })
}
