/** Health by thresholds: what a row of good and failed probes makes of a server. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  afterProbe,
  faultOfAnswer,
  type Health,
  probeIntervalMs,
  unprobed,
} from '../../../src/rules/failures/health.ts'
import type { HealthSettings } from '../../../src/rules/table/table.ts'

const settings: HealthSettings = {
  path: '/healthz',
  everyMs: 1000,
  jitter: 0.1,
  timeoutMs: 100,
  status: null,
  body: null,
  start: 'healthy',
  up: 2,
  down: 3,
}

/** `+` is a good probe, `-` a failed one; each a second behind the one before. */
function turned(probes: string, with_: Partial<HealthSettings> = {}): Health {
  const all = { ...settings, ...with_ }
  return [...probes].reduce((health, sign, at) => afterProbe(health, sign === '+', all, at * 1000), unprobed(all, -1))
}

describe('thresholds', () => {
  test.each([
    ['', true],
    ['--', true],
    ['--+--', true],
    ['---', false],
    ['---+', false],
    ['---+-+', false],
    ['---++', true],
    ['---++--', true],
  ])('%s from healthy: %s', (probes, healthy) => {
    expect(turned(probes).healthy).toBe(healthy)
  })

  test('a server that begins as unhealthy needs good probes first', () => {
    expect(turned('', { start: 'unhealthy' }).healthy).toBe(false)
    expect(turned('+', { start: 'unhealthy' }).healthy).toBe(false)
    expect(turned('++', { start: 'unhealthy' }).healthy).toBe(true)
  })

  test('it knows since when', () => {
    expect(turned('+++').sinceMs).toBe(-1)
    expect(turned('+---').sinceMs).toBe(3000)
    expect(turned('+---+-').sinceMs).toBe(3000)
  })

  test('it turns exactly when that many in a row speak against it', () => {
    const probes = fc.array(fc.boolean(), { maxLength: 60 })
    fc.assert(
      fc.property(probes, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), (row, up, down) => {
        const all = { ...settings, up, down }
        let health = unprobed(all, 0)
        for (const [at, good] of row.entries()) {
          const before = health
          health = afterProbe(before, good, all, at)
          const needed = before.healthy ? down : up
          const last = row.slice(Math.max(0, at + 1 - needed), at + 1)
          const allAgainst = last.length === needed && last.every((one) => one !== before.healthy)
          // Probes from before the last turn do not count again.
          expect(health.healthy !== before.healthy).toBe(allAgainst && before.against === needed - 1)
          expect(health.against).toBeLessThan(health.healthy ? down : up)
        }
      }),
    )
  })
})

test('the time to the next probe differs by the jitter, and no more', () => {
  expect(probeIntervalMs(settings, 0)).toBe(900)
  expect(probeIntervalMs(settings, 0.5)).toBe(1000)
  expect(probeIntervalMs({ ...settings, jitter: 0 }, 0.99)).toBe(1000)
  expect(probeIntervalMs(settings, 0.999999)).toBeLessThan(1100)
})

test.each([
  [{}, 200, null, null],
  [{}, 204, null, null],
  [{}, 301, null, 'status 301'],
  [{}, 503, null, 'status 503'],
  [{ status: new Set([204, 404]) }, 404, null, null],
  [{ status: new Set([204, 404]) }, 200, null, 'status 200'],
  [{ body: '"ok"' }, 200, '{"status":"ok"}', null],
  [{ body: '"ok"' }, 200, '{"status":"down"}', 'status 200, but the body does not contain health.body'],
  [{ body: '"ok"' }, 200, null, 'status 200, but the body does not contain health.body'],
])('%o, answer %i %s: %s', (with_, status, body, fault) => {
  expect(faultOfAnswer({ ...settings, ...with_ }, status, body)).toBe(fault)
})
