/**
 * Failures on request: late errors, silence, broken bodies, garbage, and many interim answers.
 */
import type { Socket } from 'node:net'
import { type Exchange, Gone, Refusal } from './exchange.ts'
import type { Route } from './router.ts'
import { DAY_MS, parseCount, parseDurationMs } from './units.ts'

const TEXT = 'text/plain'
const HALF = `${'half of the answer '.repeat(20)}\n`

/** The routes of this family. Each serves any method; `delay` in the query is waited for first. */
export const faultRoutes: readonly Route[] = [
  fault('/faults/status/:code', failWith),
  fault('/faults/hang', silence),
  fault('/faults/hang-body', async (x) => {
    await begin(x)
    await silence(x)
  }),
  fault('/faults/reset', async (x) => void (await x.socket()).resetAndDestroy()),
  fault('/faults/close', async (x) => void (await x.socket()).destroy()),
  fault('/faults/reset-body', async (x) => void (await begin(x)).resetAndDestroy()),
  fault('/faults/close-body', async (x) => void (await begin(x)).destroy()),
  fault('/faults/garbage', garbage),
  fault('/faults/processing', processing),
]

function fault(path: string, handler: (x: Exchange) => void | Promise<void>): Route {
  const delayed = async (x: Exchange): Promise<void> => {
    await x.pause(durationOf(x, 'delay', '0ms'))
    await handler(x)
  }
  return { path, methods: { '*': delayed } }
}

function durationOf(x: Exchange, name: string, otherwise: string): number {
  const ms = parseDurationMs(x.query.get(name) ?? otherwise)
  if (ms === null) throw new Refusal(400, `BAD ${name.toUpperCase()}`)
  return ms
}

function failWith(x: Exchange): void {
  const code = x.params.code ?? ''
  if (!/^[45]\d\d$/.test(code)) throw new Refusal(400, 'BAD STATUS')
  x.send(Number(code), TEXT, `failed with ${code}, as asked\n`, code === '503' ? [['Retry-After', '1']] : [])
}

/** Says nothing until the client leaves, or the application ends. */
async function silence(x: Exchange): Promise<never> {
  while (await x.pause(DAY_MS)) {
    // Still nothing to say.
  }
  throw new Gone()
}

/** Sends a head and half of a body, framed by `framing` = `length` (default) or `chunked`, and gives the connection to break. */
async function begin(x: Exchange): Promise<Socket> {
  const framing = x.query.get('framing') ?? 'length'
  if (framing !== 'length' && framing !== 'chunked') throw new Refusal(400, 'BAD FRAMING')
  x.head(200, [
    ['Content-Type', TEXT],
    ...(framing === 'length' ? [['Content-Length', String(HALF.length * 2)] as const] : []),
  ])
  const socket = await x.socket()
  await new Promise<void>((resolve, reject) => x.res.write(HALF, (error) => (error ? reject(new Gone()) : resolve())))
  return socket
}

/** Bytes that are not HTTP at all. */
async function garbage(x: Exchange): Promise<void> {
  const socket = await x.socket()
  socket.end('\x16\x03\x01 ORA-03113: end-of-file on communication channel\r\n\r\nwhat now?\r\n', 'latin1')
}

const MAX_TIMES = 100

/** 102 Processing, `times` times (default 3) with `every` between (default 20ms), then the answer. */
async function processing(x: Exchange): Promise<void> {
  const times = parseCount(x.query.get('times') ?? '3')
  const everyMs = durationOf(x, 'every', '20ms')
  if (times === null || times > MAX_TIMES) throw new Refusal(400, 'BAD TIMES')
  for (let sent = 0; sent < times; sent++) {
    if (x.req.httpVersion === '1.1') x.res.writeProcessing()
    await x.pause(everyMs)
  }
  x.send(200, TEXT, `processed after ${times} interim answers\n`)
}
