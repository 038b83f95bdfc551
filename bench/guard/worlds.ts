/**
 * The worlds of the simulation, with good versions and with bad ones, and the judges that it knows by name.
 */
import { DEFAULT_GUARD } from '../../src/rules/ramp/plan.ts'
import { FixedDifference, Flagger, Guard, type Judge, Kayenta } from './judges.ts'
import type { Version, World } from './traffic.ts'

const STRICT = { ...DEFAULT_GUARD, tolerate: { ...DEFAULT_GUARD.tolerate, ratio: 1 } }

/** Makes a judge for one ramp. */
export const JUDGES = {
  banyan: () => new Guard(),
  'banyan, ratio 1': () => new Guard(STRICT),
  Flagger: () => new Flagger(),
  Kayenta: () => new Kayenta(),
  'fixed difference': () => new FixedDifference(),
} satisfies Record<string, () => Judge>

export type JudgeName = keyof typeof JUDGES

const USUAL: Version = { errors: 0.005, notFound: 0, slower: 1, mismatches: 0 }

/** With few clients, or while percent moves, a step may never be passed: a person takes it. */
const PATIENCE_S = 7200

const both = (name: string, more: Partial<World> & { readonly errors?: number } = {}): World => {
  const version = { ...USUAL, ...(more.errors === undefined ? {} : { errors: more.errors }) }
  return { name, requestsPerMinute: 500, latency: 'log-normal', from: version, to: version, ...more }
}
const clients: Partial<World> = { zipfKeys: 5000, patienceS: PATIENCE_S }

/** Both versions are the same. */
export const GOOD: readonly World[] = [
  ...[0.001, 0.005, 0.01, 0.03, 0.05].map((errors) => both(`${errors * 100} % errors`, { errors })),
  both('10 requests a minute', { requestsPerMinute: 10 }),
  both('100 requests a minute', { requestsPerMinute: 100 }),
  both('2,000 requests a minute', { requestsPerMinute: 2000 }),
  both('bimodal latency', { latency: 'bimodal' }),
  both('day and night', { daily: true }),
  both('outages of both sides', { outage: true }),
  both('5,000 Zipf keys, 1 % of them flaky', clients),
  both('the same, clients that retry', { ...clients, retries: true }),
  both('the same, one key with 30 %', { ...clients, heavy: 0.3 }),
  both('percent moves each minute', { moving: true, daily: true, patienceS: PATIENCE_S / 4 }),
]

const worse = (name: string, to: Partial<Version>, from: Partial<Version> = {}, more: Partial<World> = {}): World => ({
  ...{ name, requestsPerMinute: 500, latency: 'log-normal', ...more },
  from: { ...USUAL, ...from },
  to: { ...USUAL, ...to },
})

/** The new version is worse. */
export const BAD: readonly World[] = [
  worse('errors 0.5 -> 5 %', { errors: 0.05 }),
  worse('errors 0.1 -> 0.9 %', { errors: 0.009 }, { errors: 0.001 }),
  worse('404 for all', { notFound: 1 }),
  worse('twice as slow', { slower: 2 }),
  worse('twice as slow, bimodal', { slower: 2 }, {}, { latency: 'bimodal' }),
  worse('mismatches 1 %', { mismatches: 0.01 }, {}, { shadow: true }),
]
