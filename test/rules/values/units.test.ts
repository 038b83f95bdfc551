/** Durations, sizes and percents: what is read, what is refused, and that printing and reading agree. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  flawOfDuration,
  flawOfPercent,
  flawOfSize,
  formatDuration,
  formatSize,
  numberMeantBy,
  parseDurationMs,
  parseSizeBytes,
} from '../../../src/rules/values/units.ts'

test.each([
  ['250ms', 250],
  ['5s', 5_000],
  ['1.1s', 1_100],
  ['10m', 600_000],
  ['1h', 3_600_000],
  ['1d', 86_400_000],
  ['0s', 0],
])('the duration %s is %i ms', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms)
})

test.each(['', '5', 's', '5 s', '-5s', '5S', '1e3s', '0.5ms', '25d', '5s ', '+1s', '.5s', '5.s'])(
  '%j is no duration',
  (text) => {
    expect(parseDurationMs(text)).toBeNull()
    expect(flawOfDuration(text)).not.toBeNull()
  },
)

test.each([
  ['0B', 0],
  ['100B', 100],
  ['512KiB', 524_288],
  ['1.5MiB', 1_572_864],
  ['1GiB', 1_073_741_824],
])('the size %s is %i bytes', (text, bytes) => {
  expect(parseSizeBytes(text)).toBe(bytes)
})

test.each(['', '1', '1KB', '1k', '1.5B', '-1B', '99999999999999999999GiB'])('%j is no size', (text) => {
  expect(parseSizeBytes(text)).toBeNull()
})

test('a number without a unit, and a decimal unit, are answered with what to write', () => {
  expect(flawOfDuration('60')?.hint).toBe('write 60s or 60ms')
  expect(flawOfSize('512KB')?.hint).toBe('write 512KiB')
  expect(flawOfSize('1m')?.hint).toBe('write 1MiB')
})

test('printing and reading a duration agree', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (ms) => {
      expect(parseDurationMs(formatDuration(ms))).toBe(ms)
    }),
  )
})

test('printing and reading a size agree', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (bytes) => {
      expect(parseSizeBytes(formatSize(bytes))).toBe(bytes)
    }),
  )
})

test.each([0, 100, 5, 0.0001, 99.9999, 33.3333, 1.1, 29.7])('%d is a percent', (percent) => {
  expect(flawOfPercent(percent)).toBeNull()
})

test.each([-1, -0.0001, 100.0001, 101, 0.00001, 33.33333, Number.NaN, Number.POSITIVE_INFINITY])(
  '%d is no percent',
  (percent) => {
    expect(flawOfPercent(percent)).not.toBeNull()
  },
)

test('every percent with 4 decimals is a percent, and prints without an exponent', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), (units) => {
      const percent = Number((units / 10_000).toFixed(4))
      expect(flawOfPercent(percent)).toBeNull()
      expect(String(percent)).toMatch(/^\d+(\.\d{1,4})?$/)
    }),
  )
})

test('a number in a text is understood for the hint', () => {
  const meant = ['5%', ' 5 % ', '0.5', '2,5', '200%', 'five'].map((text) => numberMeantBy(text)?.number)
  expect(meant).toEqual([5, 5, 0.5, 2.5, 200, undefined])
})
