/**
 * TLS to clients, banyan beside nginx: what a request costs on a connection that stands, and how many handshakes fit into a second.
 */
import { bringUpSecure } from '../contestants/secure.ts'
import { type Bench, columnsFor, cpuBudget, rowsOf, timingOf } from '../harness/contest.ts'
import { type Entrant, interleave, type Measured } from '../harness/rounds.ts'
import { LOOKUP } from '../harness/upstream.ts'
import { runWrk } from '../harness/wrk.ts'
import type { Scenario } from './scenario.ts'

const FORWARD = { path: LOOKUP, method: 'GET', bodyBytes: 0, connections: 32, tls: true } as const

/** CPU time of a request against nginx doing the same. */
const FORWARD_LIMIT = 1.5

export const tls: Scenario = {
  name: 'tls',
  about:
    'GET of 240 bytes of JSON over 32 kept-alive connections with TLS 1.3, an ECDSA certificate, banyan beside nginx',
  standard: true,
  async run(bench) {
    const { entrants, stop } = await bringUpSecure(bench)
    const load = (entrant: Entrant, seconds: number): Promise<Measured> =>
      runWrk(bench.stage, entrant.port, FORWARD, seconds)
    const series = await interleave(entrants, timingOf(bench), load)
    await stop()
    return {
      scenario: tls.name,
      about: tls.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets: cpuBudget(series, 'banyan', 'nginx', FORWARD_LIMIT),
      notes: [],
      failures: series.flatMap(({ failures }) => failures),
    }
  },
}

export const handshakes: Scenario = {
  name: 'handshakes',
  about: 'TLS 1.2 handshakes one after the other, full and resumed by ticket, an ECDSA certificate (openssl s_time)',
  standard: true,
  async run(bench) {
    const { entrants, stop } = await bringUpSecure(bench)
    const series = []
    for (const kind of ['new', 'reuse'] as const) {
      const load = (entrant: Entrant, seconds: number): Promise<Measured> => shake(bench, entrant.port, kind, seconds)
      const measured = await interleave(entrants, timingOf(bench), load)
      const word = kind === 'new' ? 'full' : 'resumed'
      series.push(...measured.map((each) => ({ ...each, label: `${each.label}, ${word}` })))
    }
    await stop()
    return {
      scenario: handshakes.name,
      about: handshakes.about,
      columns: columnsFor('handshake').filter(({ key }) => key !== 'p50' && key !== 'p99'),
      rows: rowsOf(series),
      budgets: [],
      notes: [
        'One client, which waits for each: the rate tells the time that a handshake takes, the CPU time what it costs.',
      ],
      failures: series.flatMap(({ failures }) => failures),
    }
  },
}

/** Handshakes for some seconds, as openssl counts them. */
async function shake(bench: Bench, port: number, kind: 'new' | 'reuse', seconds: number): Promise<Measured> {
  const to = ['-connect', `127.0.0.1:${port}`, '-tls1_2', `-${kind}`, '-time', String(seconds)]
  const printed = await bench.stage.run('openssl', 'load', ['openssl', 's_time', ...to])
  // "1234 connections in 4 real seconds, 0 bytes read per connection", for the first one that `-reuse` resumes and for all.
  const found = [...printed.matchAll(/^([0-9]+) connections in ([0-9]+) real seconds/gm)].at(-1)
  const units = Number(found?.[1] ?? 0)
  const errors = units === 0 ? { connect: 1 } : {}
  return { units, perSecond: units / Math.max(Number(found?.[2] ?? 1), 1), p50Micros: 0, p99Micros: 0, errors }
}
