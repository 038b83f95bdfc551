/**
 * Requests that begin in one turn of the event loop. What is read of a connection at once can be a hundred of them: where a thousand
 * connections have so many, no answer would be sent, and nobody else heard, before the last of them has begun.
 */
import { tellException } from '../../../wire/exceptions.ts'

/** So many requests begin in one turn, of all connections. */
const TURN_REQUESTS = 128

/** So many of those that wait begin before those of the next connection. */
const ROUND_REQUESTS = 8

/** A connection with requests that are to begin. */
export interface Beginning {
  /** It is among those that wait. */
  isWaiting: boolean
  /** Begins up to `most` of them. @returns how many have begun */
  beginSome(most: number): number
  /** There are more. */
  readonly hasMore: boolean
}

let left = TURN_REQUESTS
let isDue = false

/** Those that are left to the next turns, the first one first. */
let waiting: Beginning[] = []

/** Begins the requests of a connection: at once, or as many as there is room for in this turn, and the others in the next ones. */
export function beginInTurn(one: Beginning): void {
  if (one.isWaiting) return
  if (waiting.length === 0) left -= one.beginSome(left)
  if (one.hasMore) {
    one.isWaiting = true
    waiting.push(one)
  }
  if (isDue) return
  isDue = true
  setImmediate(nextTurn)
}

function nextTurn(): void {
  left = TURN_REQUESTS
  let at = 0
  for (; at < waiting.length && left > 0; at++) {
    const one = waiting[at] as Beginning
    try {
      left -= one.beginSome(Math.min(left, ROUND_REQUESTS))
    } catch (error) {
      tellException(error)
    }
    if (one.hasMore) waiting.push(one)
    else one.isWaiting = false
  }
  waiting = waiting.slice(at)
  isDue = waiting.length > 0
  if (isDue) setImmediate(nextTurn)
}
