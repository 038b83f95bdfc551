/**
 * When certificates are ordered and renewed.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { flawOfAcmeName } from '../../../src/rules/acme/names.ts'
import { dueAtMs, isClockWrong, mayOrderAtMs, pauseMs, renewAtMs } from '../../../src/rules/acme/schedule.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

test('a certificate is renewed at two thirds of its life, a sixtieth sooner or later', () => {
  const life = { notBeforeMs: 0, notAfterMs: 90 * DAY }
  expect(renewAtMs(life, 0.5)).toBe(60 * DAY)
  expect(renewAtMs(life, 0)).toBe(58.5 * DAY)
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (spread) => {
      const share = renewAtMs(life, spread) / (90 * DAY)
      expect(Math.abs(share - 2 / 3)).toBeLessThanOrEqual(1 / 60 + 1e-9)
    }),
  )
})

test('failures in a row: at most four attempts in an hour, and two a day in the end', () => {
  for (const chance of [0, 0.5, 0.999]) {
    const times = [0]
    for (let failures = 1; failures < 30; failures++) {
      times.push(times.at(-1)! + pauseMs('refused', failures, null, chance))
    }
    for (const [at, from] of times.entries()) {
      const within = times.slice(at).filter((one) => one < from + HOUR).length
      expect(within).toBeLessThanOrEqual(5 - (at > 0 ? 1 : 0))
    }
    expect(times.at(-1)! - times.at(-2)!).toBeGreaterThan(9 * HOUR)
    expect(times.at(-1)! - times.at(-2)!).toBeLessThan(15 * HOUR)
  }
  expect(pauseMs('unreachable', 1, null, 0.5)).toBe(60_000)
  expect(pauseMs('unreachable', 1000, null, 0.5)).toBe(HOUR)
})

test('what the authority asks for counts, up to a week', () => {
  expect(pauseMs('refused', 1, 3 * DAY, 0.5)).toBe(3 * DAY)
  expect(pauseMs('refused', 1, 365 * DAY, 0.5)).toBe(7 * DAY)
  expect(pauseMs('refused', 1, 1_000, 0.5)).toBe(300_000)
})

test('250 orders in three hours, then it waits for the first of them to be three hours old', () => {
  const now = 100 * DAY
  const orders = Array.from({ length: 250 }, (_, n) => now - HOUR + n)
  expect(mayOrderAtMs(orders.slice(1), now)).toBe(now)
  expect(mayOrderAtMs(orders, now)).toBe(now + 2 * HOUR)
  expect(mayOrderAtMs(orders, now + 2 * HOUR + 1)).toBe(now + 2 * HOUR + 1)
})

test('a clock that was wrong holds up nothing', () => {
  const now = 100 * DAY
  expect(dueAtMs(now + 3650 * DAY, now)).toBe(now)
  expect(dueAtMs(now + DAY, now)).toBe(now + DAY)
  expect(
    mayOrderAtMs(
      Array.from({ length: 300 }, () => now + DAY),
      now,
    ),
  ).toBe(now)
  expect(isClockWrong({ notBeforeMs: now + DAY, notAfterMs: now + 2 * DAY }, now)).toBe(true)
  expect(isClockWrong({ notBeforeMs: now + 60_000, notAfterMs: now + 2 * DAY }, now)).toBe(false)
})

test.each(['shop.example.com', 'xn--bcher-kva.example', 'a.b', '1.example'])('%s can be ordered for', (name) => {
  expect(flawOfAcmeName(name)).toBe(null)
})

test.each([
  ['*.example.com', /wildcard needs dns-01/],
  ['192.0.2.1', /names, not addresses/],
  ['::1', /names, not addresses/],
  ['localhost', /no full domain name/],
  ['-a.example', /no full domain name/],
  ['a..example', /no full domain name/],
  ['a/../b.example', /no full domain name/],
  ['A.example', /no full domain name/],
  [`${'a.'.repeat(127)}com`, /no full domain name/],
])('%s can not', (name, why) => {
  expect(flawOfAcmeName(name)).toMatch(why)
})
