/**
 * What a callback throws that nobody expected. It breaks what the callback was for (one exchange, one message, one deadline),
 * and is told here; it never reaches the event loop, where it would end the process and everybody's exchanges with it.
 */

/** Hears of an exception. It must not throw. */
export type ExceptionListener = (error: unknown) => void

let listener: ExceptionListener = (error) => {
  process.emitWarning(error instanceof Error ? error : String(error))
}

let counted = 0

/** Exceptions since this was last asked. */
export function takeExceptions(): number {
  const taken = counted
  counted = 0
  return taken
}

/** Counts one that is told of elsewhere. */
export function countException(): void {
  counted++
}

/** @param heard replaces the listener before; the first one makes a warning of the process */
export function onException(heard: ExceptionListener): void {
  listener = heard
}

/** Tells of an exception, after what it was thrown in has been broken off. Never throws. */
export function tellException(error: unknown): void {
  countException()
  listener(error)
}

/** Something that an exception can be thrown in. */
export interface Breakable {
  /** Breaks it off. What it throws itself is not told. */
  breakOff(error: unknown): void
}

/** Runs what is done with an event: what it throws breaks off the thing that it was for, and no other. */
export function contain<Thing extends Breakable>(thing: Thing, act: (this: Thing) => void): void {
  try {
    act.call(thing)
  } catch (error) {
    breakOff(thing, error)
  }
}

/** Breaks off a thing that an exception was thrown in, and tells of it. Never throws. */
export function breakOff(thing: Breakable, error: unknown): void {
  try {
    thing.breakOff(error)
  } catch {
    // One is told of, the one that came first.
  }
  tellException(error)
}
