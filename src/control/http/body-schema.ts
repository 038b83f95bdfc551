/**
 * Checks a JSON body against its schema; each error has a JSON Pointer.
 */
import type { z } from 'zod'
import { findingsOfIssues } from '../../rules/language/findings.ts'
import { type Finding, MAX_PROBLEMS, pointerOf } from '../../rules/values/problem.ts'
import { type FieldError, invalidBody } from './problem.ts'

/**
 * The body as its schema reads it.
 * @throws {AdminProblem} invalid: with the errors
 */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body, { reportInput: true })
  if (result.success) return result.data
  const findings = findingsOfIssues(result.error.issues, schema)
  throw invalidBody(findings.slice(0, MAX_PROBLEMS).map(errorOf), Math.max(0, findings.length - MAX_PROBLEMS))
}

/** The words of JSON. Only the errors that are told are worth the search for what was meant. */
function errorOf({ path, message, hint }: Finding): FieldError {
  if (path.length === 0 && /^expected map/.test(message)) return { pointer: '', detail: 'expected an object' }
  const detail = message.replace(/^unknown key$/, 'unknown member')
  const said = typeof hint === 'function' ? hint() : hint
  return { pointer: pointerOf(path), detail, ...(said === undefined ? {} : { hint: said }) }
}
