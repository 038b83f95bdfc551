/**
 * Closed-loop load with wrk: each of its connections sends the next request when the answer to the last is in.
 */
import { fileURLToPath } from 'node:url'
import type { Measured } from './rounds.ts'
import type { Stage } from './stage.ts'

const SCRIPT = fileURLToPath(new URL('../load/wrk.lua', import.meta.url))

/** What wrk is to send. */
export interface Load {
  readonly path: string
  readonly method: 'GET' | 'POST'
  /** Bytes of body that each request carries. */
  readonly bodyBytes: number
  readonly connections: number
  /** Each request has a connection of its own. Default false. */
  readonly closes?: boolean
  /** By https. Default false. */
  readonly tls?: boolean
}

/** Drives a port of 127.0.0.1 for some seconds. Throws where wrk cannot run. */
export async function runWrk(stage: Stage, port: number, load: Load, seconds: number): Promise<Measured> {
  const url = `${load.tls === true ? 'https' : 'http'}://127.0.0.1:${port}${load.path}`
  const printed = await stage.run('wrk', 'load', [
    ...(['wrk', '-t1', `-c${load.connections}`, `-d${seconds}s`, '--timeout', '5s', '-s', SCRIPT, url] as const),
    ...['--', load.method, String(load.bodyBytes), load.closes === true ? 'close' : 'keep'],
  ])
  return readSummary(printed)
}

/** Reads the line that wrk.lua prints. Throws where it is not there. */
export function readSummary(printed: string): Measured {
  const line = printed.split('\n').findLast((each) => each.startsWith('{'))
  if (line === undefined) throw new Error(`wrk printed no summary: ${printed.trim().slice(-200)}`)
  const said = JSON.parse(line) as Record<string, number>
  const errors: Record<string, number> = {}
  for (const kind of ['connect', 'read', 'write', 'status', 'timeout']) {
    const count = said[kind] ?? 0
    if (count > 0) errors[kind] = count
  }
  return {
    units: said.requests ?? 0,
    perSecond: ((said.requests ?? 0) / (said.micros ?? 1)) * 1e6,
    p50Micros: said.p50 ?? 0,
    p99Micros: said.p99 ?? 0,
    errors,
  }
}
