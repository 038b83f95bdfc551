/**
 * Long work in steps, so that the caller can do something else in between.
 */

/** Work that yields where it may be interrupted, and returns its result. */
export type Steps<Result> = Generator<undefined, Result, undefined>

/** Does all of the work at once. */
export function allOf<Result>(steps: Steps<Result>): Result {
  let step = steps.next()
  while (step.done !== true) step = steps.next()
  return step.value
}
