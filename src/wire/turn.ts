/**
 * Small writes are held until the end of the event loop's turn and sent back to back, as in Redis and Seastar: the receiving
 * process is woken once for many of them, and a wake-up costs more than a write.
 */
import { tellException } from './exceptions.ts'

/** Something that has bytes to send at the end of this turn. */
export interface Held {
  /** Called once for each `sendLater`. */
  sendNow(): void
}

let waiting: Held[] = []
let spare: Held[] = []

/** Calls `thing.sendNow` once everything that arrived in this turn of the event loop has been read. */
export function sendLater(thing: Held): void {
  if (waiting.push(thing) === 1) setImmediate(sendAll)
}

/** Sends everything held now, without waiting for the end of the turn. */
export function sendAll(): void {
  const batch = waiting
  waiting = spare
  spare = []
  for (let i = 0; i < batch.length; i++) {
    try {
      ;(batch[i] as Held).sendNow()
    } catch (error) {
      tellException(error)
    }
  }
  batch.length = 0
  spare = batch
}
