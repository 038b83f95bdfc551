/**
 * Checks a JSON body against its schema: every fault as an error at its JSON pointer, in the operator's words.
 */
import type { z } from 'zod'
import { didYouMean, pointerOf } from '../../rules/values/problem.ts'
import { type FieldError, invalidBody } from './problem.ts'

type Issue = z.core.$ZodIssue

/**
 * The body as its schema reads it.
 * @throws {AdminProblem} invalid: with every error
 */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  throw invalidBody(result.error.issues.flatMap(errorsOf))
}

function errorsOf(issue: Issue): FieldError[] {
  const path = issue.path as (string | number)[]
  if (issue.code !== 'unrecognized_keys') {
    const detail = path.length === 0 && issue.code === 'invalid_type' ? 'expected an object' : issue.message
    return [{ pointer: pointerOf(path), detail }]
  }
  // The message of an unknown key lists the known ones; see rules/schema.ts.
  return issue.keys.map((key) => {
    const hint = didYouMean(key, issue.message.split(' '))
    return { pointer: pointerOf([...path, key]), detail: 'unknown member', ...(hint === undefined ? {} : { hint }) }
  })
}
