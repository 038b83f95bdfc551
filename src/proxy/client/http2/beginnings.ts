/**
 * Limits how many requests begin in one turn of the event loop. One read can bring a hundred requests: if a thousand connections each
 * brought that many, no answer would be sent and nothing else read until the last of them had begun.
 */
import { tellException } from '../../../wire/exceptions.ts'

/** How many requests of all connections begin in one turn. */
const TURN_REQUESTS = 128

/** How many waiting requests of one connection begin before those of the next. */
const ROUND_REQUESTS = 8

/** A connection with requests to begin. */
export interface Beginning {
  /** It is in the queue of waiting connections. */
  isWaiting: boolean
  /** Begins up to `most` requests. @returns how many have begun */
  beginSome(most: number): number
  /** There are more requests to begin. */
  readonly hasMore: boolean
}

let left = TURN_REQUESTS
let isDue = false

/** Connections waiting for one of the next turns, first in, first out. */
let waiting: Beginning[] = []

/** Begins the requests of a connection: as many as fit into this turn, the others in the next turns. */
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
