/**
 * HTTP/2 to clients, HTTP/1.1 to the upstream, banyan beside nginx.
 */
import { bringUpSecure } from '../contestants/secure.ts'
import { columnsFor, cpuBudget, rowsOf, timingOf } from '../harness/contest.ts'
import { runH2load } from '../harness/h2load.ts'
import { disturbances, interleave } from '../harness/rounds.ts'
import { LOOKUP } from '../harness/upstream.ts'
import type { Scenario } from './scenario.ts'

/** CPU time of a request against nginx doing the same. */
const LIMIT = 2

export const http2: Scenario = {
  name: 'http2',
  about:
    'GET of 240 bytes of JSON, HTTP/2 over TLS 1.3, 10 connections with 10 streams each, banyan beside nginx (h2load)',
  standard: true,
  async run(bench) {
    const { entrants, stop } = await bringUpSecure(bench)
    const load = { path: LOOKUP, connections: 10, streams: 10 }
    const series = await interleave(entrants, timingOf(bench), (entrant, seconds) =>
      runH2load(bench.stage, entrant.port, load, seconds),
    )
    await stop()
    return {
      scenario: http2.name,
      about: http2.about,
      columns: columnsFor('request'),
      rows: rowsOf(series),
      budgets: cpuBudget(series, 'banyan', 'nginx', LIMIT),
      notes: disturbances(series),
      failures: series.flatMap(({ failures }) => failures),
    }
  },
}
