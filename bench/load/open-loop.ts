/**
 * Open-loop load: requests fall due at a constant rate whatever became of the ones before, and each is timed from the
 * moment it fell due, so that a stalled proxy is charged for all that had to wait (no coordinated omission).
 *
 * `node open-loop.ts PORT PATH RATE CONNECTIONS SECONDS` prints one line of JSON: a `Measured`. The first second is not
 * counted. Connections carry one request at a time; a request that finds none free waits in the order it fell due.
 */
import { connect, type Socket } from 'node:net'
import { quantile } from '../harness/figures.ts'
import type { Measured } from '../harness/rounds.ts'
import { AnswerReader } from './answers.ts'

const [portText, path = '/', ...numbers] = process.argv.slice(2)
const port = Number(portText)
const [rate = 0, connections = 0, seconds = 0] = numbers.map(Number)

const WARM_UP_MS = 1000
/** After the last request fell due, this long for the answers to come in. */
const GRACE_MS = 2000
/** Between two looks at clock and sockets. Shorter than what is measured, long enough to leave the core to the upstream. */
const PAUSE_MS = 0.05

const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`, 'latin1')
const total = Math.round(rate * (seconds + WARM_UP_MS / 1000))
const counted = { first: Math.round((rate * WARM_UP_MS) / 1000) }
const errors: Record<string, number> = {}
const micros: number[] = []
/** Connections without a request, the last used on top. */
const free: Connection[] = []
/** Numbers of the requests that fell due while no connection was free. */
const waiting: number[] = []
const nap = new Int32Array(new SharedArrayBuffer(4))
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
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.once('connect', onOpen)
    this.#socket.on('data', (chunk: Buffer) => this.#reader.take(chunk))
    this.#socket.once('error', () => fail('read')).once('close', () => fail('closed'))
  }

  send(number: number): void {
    this.#current = number
    this.#socket.write(request)
  }

  close(): void {
    this.#socket.destroy()
  }

  #answered(status: number): void {
    const number = this.#current
    if (status < 200 || status > 299) fail('status')
    if (number >= counted.first) micros.push((performance.now() - dueMs(number)) * 1000)
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
  while (next < total && dueMs(next) <= nowMs) {
    const connection = free.pop()
    if (connection === undefined) waiting.push(next)
    else connection.send(next)
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
  const sorted = Float64Array.from(micros).sort()
  const measured: Measured = {
    units: sorted.length,
    perSecond: sorted.length / seconds,
    p50Micros: sorted.length === 0 ? 0 : quantile(sorted, 0.5),
    p99Micros: sorted.length === 0 ? 0 : quantile(sorted, 0.99),
    errors,
  }
  console.log(JSON.stringify(measured))
}
