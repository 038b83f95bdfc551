/**
 * Fairness between connections. libuv reads from a connection up to 32 times before it turns to the next one: a hundred uploads would
 * keep all other connections waiting for a second.
 */

/** How much of large bodies is read in one turn of the event loop. After that, each connection is read once and then waits for a later turn. */
const TURN_BYTES = 4 * 1024 * 1024

/** How many connections resume in one turn: with 64 KiB each, they use up TURN_BYTES. */
const RESUMED = 64

/** A connection to read from. */
interface Source {
  isPaused(): boolean
  resume(): unknown
}

let leftBytes = TURN_BYTES
let isDue = false

/** Connections waiting for one of the next turns, first in, first out. */
const waiting = new Set<Source>()

/**
 * Counts a read that may be one of many.
 * @returns whether the caller may read on in this turn; if not, it stops reading, and the source is resumed in one of the next turns
 *   unless it has been paused for another reason by then
 */
export function mayReadOn(source: Source, bytes: number): boolean {
  leftBytes -= bytes
  if (!isDue) {
    isDue = true
    setImmediate(nextTurn)
  }
  if (leftBytes > 0) return true
  waiting.add(source)
  return false
}

function nextTurn(): void {
  leftBytes = TURN_BYTES
  let resumed = 0
  for (const source of waiting) {
    if (resumed++ === RESUMED) break
    waiting.delete(source)
    if (!source.isPaused()) source.resume()
  }
  isDue = waiting.size > 0
  if (isDue) setImmediate(nextTurn)
}
