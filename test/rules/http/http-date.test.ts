/**
 * HTTP dates: three formats, any letter case, nothing else (RFC 9110 section 5.6.7, RFC 9111 section 4.2).
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatHttpDate, parseHttpDate } from '../../../src/rules/http/http-date.ts'

const NOW = Date.UTC(2025, 10, 9, 12, 0, 0)
const EXAMPLE = Date.UTC(1994, 10, 6, 8, 49, 37)

describe('read', () => {
  test.each([
    ['Sun, 06 Nov 1994 08:49:37 GMT', EXAMPLE],
    ['Sunday, 06-Nov-94 08:49:37 GMT', EXAMPLE],
    ['Sun Nov  6 08:49:37 1994', EXAMPLE],
    ['Sun Nov 16 08:49:37 1994', Date.UTC(1994, 10, 16, 8, 49, 37)],
    ['sUN, 06 nOV 1994 08:49:37 gmt', EXAMPLE],
    ['SUNDAY, 06-NOV-94 08:49:37 GMT', EXAMPLE],
    ['Mon, 06 Nov 1994 08:49:37 GMT', EXAMPLE],
    ['Thu, 29 Feb 2024 00:00:00 GMT', Date.UTC(2024, 1, 29)],
    ['Tue, 29 Feb 2000 00:00:00 GMT', Date.UTC(2000, 1, 29)],
    ['Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2016, 11, 31, 23, 59, 59)],
    ['Fri, 31 Dec 9999 23:59:59 GMT', Date.UTC(9999, 11, 31, 23, 59, 59)],
    ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
    ['Wed, 31 Dec 1969 23:59:59 GMT', -1000],
  ])('%s', (text, ms) => expect(parseHttpDate(text, NOW)).toBe(ms))
})

describe('refused', () => {
  test.each([
    '',
    '0',
    '-1',
    '784111777',
    '1994-11-06T08:49:37Z',
    '1994-11-06',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 UTC',
    'Sun, 06 Nov 1994 08:49:37 EST',
    'Sun, 06 Nov 1994 08:49:37 +0000',
    'Sun, 06 Nov 1994 08:49:37 GMT+1',
    'Sun, 6 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 94 08:49:37 GMT',
    'Sun, 06-Nov-1994 08:49:37 GMT',
    'Sun, 06-Nov-94 08:49:37 GMT',
    'Sun 06 Nov 1994 08:49:37 GMT',
    'Sunday, 06 Nov 1994 08:49:37 GMT',
    'Xyz, 06 Nov 1994 08:49:37 GMT',
    'Sun,  06 Nov 1994 08:49:37 GMT',
    'Sun, 06  Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994  08:49:37 GMT',
    'Sun, 06 Nov 1994 8:49:37 GMT',
    'Sun, 06 Nov 1994 08.49.37 GMT',
    'Sun, 06 Nov 1994 08:49 GMT',
    'Sun, 06 November 1994 08:49:37 GMT',
    'Sun, 00 Nov 1994 08:49:37 GMT',
    'Sun, 31 Nov 1994 08:49:37 GMT',
    'Sun, 29 Feb 2023 08:49:37 GMT',
    'Sun, 29 Feb 1900 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:00:00 GMT',
    'Sun, 06 Nov 1994 08:60:00 GMT',
    'Sun, 06 Nov 1994 08:49:60 GMT',
    'Sun, 06 Nov 1994 23:59:61 GMT',
    'Sun Nov 6 08:49:37 1994',
    'Sun Nov  6 08:49:37 1994 GMT',
    'Sun Nov  6 08:49:37 94',
    ' Sun, 06 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 08:49:37 GMT ',
    'Sun, 06 Nov 1994 08:49:37 GMT\n',
    'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT',
    '"Sun, 06 Nov 1994 08:49:37 GMT"',
    '\u017fun, 06 Nov 1994 08:49:37 GMT',
  ])('%j', (text) => expect(parseHttpDate(text, NOW)).toBeNull())
})

describe('the two-digit year of RFC 850 is never more than 50 years ahead', () => {
  test.each([
    ['25', NOW, 2025],
    ['75', NOW, 2075],
    ['76', NOW, 1976],
    ['99', NOW, 1999],
    ['00', NOW, 2000],
    ['05', Date.UTC(2096, 5, 1), 2105],
    ['47', Date.UTC(2096, 5, 1), 2047],
    ['30', Date.UTC(1995, 5, 1), 2030],
    ['46', Date.UTC(1995, 5, 1), 1946],
  ])('%s seen from %i is %i', (digits, nowMs, year) => {
    expect(parseHttpDate(`Monday, 01-Jan-${digits} 00:00:00 GMT`, nowMs)).toBe(Date.UTC(year, 0, 1))
  })

  test('fifty years to the second are the future, one second more is the past', () => {
    expect(parseHttpDate('Saturday, 09-Nov-75 12:00:00 GMT', NOW)).toBe(Date.UTC(2075, 10, 9, 12, 0, 0))
    expect(parseHttpDate('Saturday, 09-Nov-75 12:00:01 GMT', NOW)).toBe(Date.UTC(1975, 10, 9, 12, 0, 1))
  })
})

const anyMoment = fc.integer({ min: Date.UTC(1, 0, 1) / 1000, max: Date.UTC(9999, 11, 31) / 1000 }).map((s) => s * 1000)

test('writes what toUTCString writes, and reads it back', () => {
  fc.assert(
    fc.property(anyMoment, fc.integer({ min: 0, max: 999 }), (ms, extra) => {
      const text = formatHttpDate(ms + extra)
      expect(text).toBe(new Date(ms).toUTCString())
      expect(parseHttpDate(text, NOW)).toBe(ms)
    }),
  )
})

test('reads asctime and RFC 850 as the same moment', () => {
  const near = fc.integer({ min: Date.UTC(1976, 0, 1) / 1000, max: Date.UTC(2075, 0, 1) / 1000 }).map((s) => s * 1000)
  fc.assert(
    fc.property(near, (ms) => {
      const [day, dd, month, yyyy, time] = new Date(ms).toUTCString().replace(',', '').split(' ') as string[]
      const space = (dd as string).replace(/^0/, ' ')
      expect(parseHttpDate(`${day} ${month} ${space} ${time} ${yyyy}`, NOW)).toBe(ms)
      expect(parseHttpDate(`Friday, ${dd}-${month}-${(yyyy as string).slice(2)} ${time} GMT`, NOW)).toBe(ms)
    }),
  )
})

test('ends for any text and any clock', () => {
  const clocks = fc.oneof(fc.double(), fc.integer())
  fc.assert(
    fc.property(fc.string(), clocks, (text, nowMs) => {
      parseHttpDate(text, nowMs)
      parseHttpDate('Monday, 01-Jan-47 00:00:00 GMT', nowMs)
    }),
  )
})

test('keeps years within four digits', () => {
  expect(formatHttpDate(Number.MAX_SAFE_INTEGER)).toBe('Fri, 31 Dec 9999 23:59:59 GMT')
  expect(formatHttpDate(-Number.MAX_SAFE_INTEGER)).toMatch(/ 01 Jan 0000 00:00:00 GMT$/)
})
