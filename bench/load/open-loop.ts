/**
 * Open-loop load: requests fall due at a constant rate whatever became of the ones before, and each is timed from the
 * moment it fell due, so that a stalled proxy is charged for all that had to wait (no coordinated omission).
 *
 * `node open-loop.ts PORT PATH RATE CONNECTIONS SECONDS` prints one line of JSON: a `Timed`. The first second is not
 * counted. Connections carry one request at a time; a request that finds none free waits in the order it fell due.
 *
 * Where this program itself is held up, by its own garbage collector or by whoever shares its core, what was under way or
 * fell due meanwhile is timed wrongly, and leaves in a bunch that nobody has sent. It is left out, but for those who had to
 * wait for much longer than this program was away.
 */
import { connect, type Socket } from 'node:net'
import { quantile } from '../harness/figures.ts'
import { AnswerReader } from './answers.ts'
import type { Timed } from './timed.ts'

const [portText, path = '/', ...numbers] = process.argv.slice(2)
const port = Number(portText)
const [rate = 0, connections = 0, seconds = 0] = numbers.map(Number)

const WARM_UP_MS = 1000
/** After the last request fell due, this long for the answers to come in. */
const GRACE_MS = 2000
/** Two looks that lie further apart than this: something has held this program up. */
const HELD_UP_MS = 0.5
/** A request is left out where this part of its time, or more, is that of this program. */
const TOO_MUCH = 0.25
/** Between two looks at clock and sockets. Shorter than what is measured, long enough to leave the core to the upstream. */
const PAUSE_MS = 0.05

const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`, 'latin1')
const total = Math.round(rate * (seconds + WARM_UP_MS / 1000))
const counted = { first: Math.round((rate * WARM_UP_MS) / 1000) }
const errors: Record<string, number> = {}
/** Taken beforehand, like the memory of reads below: a pause of this program's own collector would look like one of the proxy. */
const micros = new Float64Array(total - counted.first)
/** Connections without a request, the last used on top. */
const free: Connection[] = []
/** Numbers of the requests that fell due while no connection was free. */
const waiting: number[] = []
const nap = new Int32Array(new SharedArrayBuffer(4))
const readInto = Buffer.alloc(64 * 1024)
/** By request: for how long this program was held up in its time, in milliseconds. */
const heldUpMs = new Float64Array(total)
/** Until then what falls due is part of a bunch, after this long away. */
const bunch = { untilMs: 0, awayMs: 0 }
let lastLookMs = Number.POSITIVE_INFINITY
let timed = 0
let answered = 0
let next = 0
let startMs = 0
let over = false

/** One kept-alive connection. */
class Connection {
  readonly #socket: Socket
  readonly #reader: AnswerReader
  /** The number of the request under way. */
  #current = -1

  constructor(onOpen: () => void) {
    this.#reader = new AnswerReader((status) => this.#answered(status))
    const callback = (bytes: number): boolean => {
      this.#reader.take(readInto.subarray(0, bytes))
      return true
    }
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer: readInto, callback } })
    this.#socket.once('connect', onOpen)
    this.#socket.once('error', () => fail('read')).once('close', () => fail('closed'))
  }

  send(number: number): void {
    this.#current = number
    this.#socket.write(request)
  }

  close(): void {
    this.#socket.destroy()
  }

  /** This program was held up while a request was under way. */
  heldUp(awayMs: number): void {
    if (this.#current !== -1) heldUpMs[this.#current]! += awayMs
  }

  #answered(status: number): void {
    const number = this.#current
    if (status < 200 || status > 299) fail('status')
    if (number >= counted.first) {
      const tookMs = performance.now() - dueMs(number)
      if ((heldUpMs[number] as number) < TOO_MUCH * tookMs) micros[timed++] = tookMs * 1000
    }
    answered++
    const late = waiting.shift()
    if (late === undefined) free.push(this)
    else this.send(late)
  }
}

let opened = 0
const all = Array.from(
  { length: connections },
  () =>
    new Connection(() => {
      if (++opened < connections) return
      free.push(...all)
      startMs = performance.now()
      turn()
    }),
)

function dueMs(number: number): number {
  return startMs + (number / rate) * 1000
}

function turn(): void {
  const nowMs = performance.now()
  noteHeldUp(nowMs)
  while (next < total && dueMs(next) <= nowMs) {
    const connection = free.pop()
    if (connection === undefined) waiting.push(next)
    else connection.send(next)
    if (nowMs < bunch.untilMs) heldUpMs[next]! += bunch.awayMs
    next++
  }
  if (answered === total || nowMs > dueMs(total) + GRACE_MS) {
    finish()
    return
  }
  // A timer's grain is a millisecond, and a busy loop would take the upstream's core: so sleep below the event loop.
  Atomics.wait(nap, 0, 0, PAUSE_MS)
  setImmediate(turn)
}

/** The bunch is over when as much time has passed again as this program was held up. */
function noteHeldUp(nowMs: number): void {
  const awayMs = nowMs - lastLookMs
  lastLookMs = nowMs
  if (awayMs < HELD_UP_MS) return
  bunch.untilMs = Math.max(bunch.untilMs, nowMs + awayMs)
  bunch.awayMs = awayMs
  for (const connection of all) connection.heldUp(awayMs)
  for (const number of waiting) heldUpMs[number]! += awayMs
}

function fail(kind: string): void {
  if (over) return
  errors[kind] = (errors[kind] ?? 0) + 1
  // Nothing is under way yet: without its connections there is nothing to measure.
  if (opened < connections) finish()
}

function finish(): void {
  over = true
  if (answered < total && opened === connections) errors.unanswered = total - answered
  for (const connection of all) connection.close()
  const sorted = micros.subarray(0, timed).sort()
  const result: Timed = {
    units: sorted.length,
    perSecond: sorted.length / seconds,
    p50Micros: sorted.length === 0 ? 0 : quantile(sorted, 0.5),
    p99Micros: sorted.length === 0 ? 0 : quantile(sorted, 0.99),
    errors,
    leftOut: 1 - sorted.length / micros.length,
  }
  console.log(JSON.stringify(result))
}
