/**
 * Unexpected exceptions in callbacks. Each ends only what the callback was for (one exchange, one message, one deadline) and is
 * reported here; it never reaches the event loop, where it would end the process and all other exchanges with it.
 */

/** Is called with each exception. It must not throw. */
export type ExceptionListener = (error: unknown) => void

let listener: ExceptionListener = (error) => {
  process.emitWarning(error instanceof Error ? error : String(error))
}

let counted = 0

/** The number of exceptions since the last call. */
export function takeExceptions(): number {
  const taken = counted
  counted = 0
  return taken
}

/** Counts an exception that is reported elsewhere. */
export function countException(): void {
  counted++
}

/** @param heard replaces the listener; by default, exceptions become process warnings */
export function onException(heard: ExceptionListener): void {
  listener = heard
}

/** Reports an exception, after the work that threw it has been aborted. Never throws. */
export function tellException(error: unknown): void {
  countException()
  listener(error)
}

/** Something that an exception aborts. */
export interface Breakable {
  /** Aborts it. Exceptions thrown by this method itself are not reported. */
  breakOff(error: unknown): void
}

/** Runs an event handler: an exception in it aborts only `thing`. */
export function contain<Thing extends Breakable>(thing: Thing, act: (this: Thing) => void): void {
  try {
    act.call(thing)
  } catch (error) {
    breakOff(thing, error)
  }
}

/** Aborts a thing in which an exception was thrown, and reports the exception. Never throws. */
export function breakOff(thing: Breakable, error: unknown): void {
  try {
    thing.breakOff(error)
  } catch {
    // Only the first exception is reported.
  }
  tellException(error)
}
