/**
 * Fairness between clients that are sent bodies: a slice each in turn, and no more in one turn of the event loop than leaves
 * room for the requests of all others.
 */
import { tellException } from '../../wire/exceptions.ts'

/** What one client is sent at a time. */
export const SLICE_BYTES = 64 * 1024

/** What all of them are sent in one turn of the event loop: half a millisecond of copying. */
const TURN_BYTES = 1024 * 1024

/** Something that is sent in slices. */
export interface Sending {
  /** It waits for its turn. */
  queued: boolean
  /**
   * Sends a slice.
   * @returns its bytes; 0 where there is none to send, or its client does not take more
   */
  sendSlice(): number
}

let left = TURN_BYTES
let scheduled = false
let queue: Sending[] = []
let next: Sending[] = []

/** Sends what can be sent: at once as far as this turn of the event loop allows, else when its turn comes. */
export function sendSoon(sending: Sending): void {
  if (sending.queued) return
  if (queue.length === 0) {
    while (left > 0) {
      const sent = sliceOf(sending)
      if (sent === 0) return
      left -= sent
      schedule()
    }
  }
  sending.queued = true
  queue.push(sending)
  schedule()
}

function schedule(): void {
  if (scheduled) return
  scheduled = true
  setImmediate(turn)
}

function turn(): void {
  scheduled = false
  left = TURN_BYTES
  let at = 0
  while (queue.length > 0 && left > 0) {
    for (at = 0; at < queue.length && left > 0; at++) {
      const sending = queue[at] as Sending
      sending.queued = false
      const sent = sliceOf(sending)
      left -= sent
      if (sent === 0 || sending.queued) continue
      sending.queued = true
      next.push(sending)
    }
    // Those who have had their slice stand behind those who have not.
    const rest = queue.slice(at)
    queue = rest.length === 0 ? next : rest.concat(next)
    next = []
  }
  if (queue.length > 0) schedule()
}

function sliceOf(sending: Sending): number {
  try {
    return sending.sendSlice()
  } catch (error) {
    tellException(error)
    return 0
  }
}
