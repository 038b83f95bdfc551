/**
 * Cache directives: liberal reading, conservative understanding (RFC 9111 section 5.2, RFC 9213).
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  MAX_DELTA_SECONDS,
  parseCacheControl,
  parseRequestCacheControl,
  pragmaNoCache,
  type RequestDirectives,
  type ResponseDirectives,
} from '../../../src/rules/caching/directives.ts'
import { targetedDirectives } from '../../../src/rules/caching/targeted.ts'

type Said = Partial<ResponseDirectives>

function nothingElse(said: ResponseDirectives): Said {
  const kept = Object.entries(said).filter(([, value]) => value !== null && value !== false && value.length !== 0)
  return Object.fromEntries(kept)
}

describe('responses (section 5.2.2)', () => {
  const cases: [string, Said][] = [
    ['', {}],
    ['max-age=60', { maxAge: 60 }],
    ['MAX-AGE=60, Public', { maxAge: 60, public: true, allowsAuthorization: true }],
    ['no-store, no-cache, private', { noStore: true, noCache: true, private: true }],
    ['must-revalidate', { mustRevalidate: true, allowsAuthorization: true }],
    ['proxy-revalidate', { proxyRevalidate: true }],
    ['s-maxage=5', { sMaxAge: 5, allowsAuthorization: true }],
    ['must-understand, no-store', { mustUnderstand: true, noStore: true }],
    ['immutable, no-transform', { immutable: true, noTransform: true }],
    ['stale-while-revalidate=5, stale-if-error=6', { staleWhileRevalidate: 5, staleIfError: 6 }],
    // section 5.2: both forms of an argument
    ['max-age="60"', { maxAge: 60 }],
    ['max-age="6\\0"', { maxAge: 60 }],
    ['no-cache=foo', { noCacheFields: ['foo'] }],
    ['no-cache="A, b ,,C"', { noCacheFields: ['a', 'b', 'c'] }],
    ['private="set-cookie", private="x"', { privateFields: ['set-cookie', 'x'] }],
    ['no-cache="a", no-cache', { noCache: true, noCacheFields: ['a'] }],
    // a qualified form that names nothing readable is the unqualified one
    ['no-cache=""', { noCache: true }],
    ['no-cache=', { noCache: true }],
    ['no-cache="a b"', { noCache: true }],
    ['private=","', { private: true }],
    ['private = "x"', { private: true }],
    // section 4.2.1: invalid freshness information is stale
    ['max-age', { maxAge: 0 }],
    ['max-age=', { maxAge: 0 }],
    ['max-age=-60', { maxAge: 0 }],
    ['max-age=+60', { maxAge: 0 }],
    ['max-age=60.5', { maxAge: 0 }],
    ['max-age=6e1', { maxAge: 0 }],
    ['max-age=0x60', { maxAge: 0 }],
    ['max-age=60s', { maxAge: 0 }],
    ["max-age='60'", { maxAge: 0 }],
    ['max-age="60', { maxAge: 0 }],
    ['max-age="-60"', { maxAge: 0 }],
    ['max-age=" 60"', { maxAge: 0 }],
    ['max-age =60', { maxAge: 0 }],
    ['max-age= 60', { maxAge: 0 }],
    ['max-age = 60', { maxAge: 0 }],
    ['max-age==60', { maxAge: 0 }],
    ['max-age:60', { maxAge: 0 }],
    ['max-age 60', { maxAge: 0 }],
    ['max-age=60 70', { maxAge: 0 }],
    ['max-age=60"70"', { maxAge: 0 }],
    ['max-age="60"70', { maxAge: 0 }],
    ['max-age=60;', { maxAge: 0 }],
    ['; max-age=60', { maxAge: 0 }],
    ['foo max-age=60', { maxAge: 0 }],
    ['"foo" max-age=60', { maxAge: 0 }],
    ['foo; public', {}],
    ['s-maxage=abc, max-age=60', { sMaxAge: 0, maxAge: 60 }],
    // section 1.2.2: leading zeros are digits; too large is very long, and never wraps
    ['max-age=000060', { maxAge: 60 }],
    ['max-age=2147483648', { maxAge: 2147483648 }],
    ['max-age=4294967297', { maxAge: 4294967297 }],
    ['max-age=99999999999999999999', { maxAge: MAX_DELTA_SECONDS }],
    [`max-age=${'9'.repeat(400)}`, { maxAge: MAX_DELTA_SECONDS }],
    // section 4.2.1: several of one directive
    ['max-age=60, max-age=60', { maxAge: 60 }],
    ['max-age=60, max-age=0', { maxAge: 0 }],
    ['max-age=1, max-age=60', { maxAge: 0 }],
    ['max-age=60, max-age=foo', { maxAge: 0 }],
    ['stale-if-error=60, stale-if-error=5', { staleIfError: 5 }],
    ['stale-while-revalidate=x', { staleWhileRevalidate: 0 }],
    // section 5.2.3: another directive's value is that value
    ['ext="max-age=60"', {}],
    ['ext="x, max-age=60, no-store"', {}],
    ['ext="a\\", no-store", max-age=5', { maxAge: 5 }],
    ['ext=max-age=60', {}],
    ['"max-age=60", no-store', { noStore: true }],
    ['x-max-age=60, max-agee=5', {}],
    // restrictions hold however they are written, permissions do not
    ['no-store=foo', { noStore: true }],
    ['no-store="foo"', { noStore: true }],
    ['max-age=60 no-store', { maxAge: 0, noStore: true }],
    ['max-age=60; no-store', { maxAge: 0, noStore: true }],
    ['ext="x, no-store', { noStore: true }],
    ['ext="x, max-age=60, public', { maxAge: 0 }],
    ['public=1', {}],
    ['public;', {}],
    ['must-revalidate=1', { mustRevalidate: true }],
    ['s-maxage=x', { sMaxAge: 0 }],
    // section 5.6.1 of RFC 9110: empty elements
    [' , ,max-age=60,\t,', { maxAge: 60 }],
  ]
  test.each(cases)('%s', (line, said) => expect(nothingElse(parseCacheControl([line]))).toEqual(said))

  test('several lines are one list, and an open quote ends with its line', () => {
    expect(nothingElse(parseCacheControl(['max-age=60', 'no-store']))).toEqual({ maxAge: 60, noStore: true })
    expect(nothingElse(parseCacheControl(['ext="', 'max-age=60']))).toEqual({ maxAge: 60 })
  })
})

describe('requests (section 5.2.1)', () => {
  const nothing: RequestDirectives = {
    noStore: false,
    noCache: false,
    onlyIfCached: false,
    maxAge: null,
    maxStale: null,
    minFresh: null,
    staleIfError: null,
  }
  const cases: [string, Partial<RequestDirectives>][] = [
    ['no-cache, no-store, only-if-cached', { noCache: true, noStore: true, onlyIfCached: true }],
    ['max-age=5, min-fresh=6, max-stale=7', { maxAge: 5, minFresh: 6, maxStale: 7 }],
    ['max-stale', { maxStale: Infinity }],
    ['stale-if-error=9', { staleIfError: 9 }],
    ['max-age="5"', { maxAge: 5 }],
    ['max-age=x', { maxAge: 0 }],
    ['max-age=9, max-age=5', { maxAge: 5 }],
    ['max-stale=x', { maxStale: 0 }],
    ['max-stale=', { maxStale: 0 }],
    ['max-stale, max-stale=5', { maxStale: 5 }],
    ['min-fresh=x', { minFresh: Infinity }],
    ['min-fresh=5, min-fresh=9', { minFresh: 9 }],
    ['ext="no-cache"', {}],
  ]
  test.each(cases)('%s', (line, asked) => expect(parseRequestCacheControl([line])).toEqual({ ...nothing, ...asked }))

  test('Pragma (section 5.4)', () => {
    expect(pragmaNoCache(['no-cache'])).toBe(true)
    expect(pragmaNoCache(['foo, No-Cache'])).toBe(true)
    expect(pragmaNoCache(['foo="no-cache"'])).toBe(false)
  })
})

describe('properties', () => {
  const bit = fc.constantFrom('max-age', 'no-store', 'public', 'x', '=', ',', ' ', '"', '\\', ';', '60', '-', '\t', 'é')
  const line = fc.array(fc.oneof(bit, fc.string()), { maxLength: 30 }).map((parts) => parts.join(''))

  test('never throws, and every time is a whole number of seconds in range', () => {
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const { maxAge, sMaxAge, staleIfError, staleWhileRevalidate } = parseCacheControl(lines)
        for (const seconds of [maxAge, sMaxAge, staleIfError, staleWhileRevalidate]) {
          if (seconds !== null)
            expect(Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_DELTA_SECONDS).toBe(true)
        }
        parseRequestCacheControl(lines)
      }),
    )
  })

  test('a no-store at the end is always seen, unless it is inside a quoted value', () => {
    const unquoted = line.filter((text) => !text.includes('"'))
    fc.assert(
      fc.property(unquoted, (text) => {
        expect(parseCacheControl([`${text}, no-store`]).noStore).toBe(true)
      }),
    )
  })

  test('a long line of open quotes costs no more than its length', () => {
    // Squared it would be tens of thousands of millions of steps, and the test would not end.
    for (const unit of ['"\\', '\\"', 'a="\\"', '",\\']) {
      parseCacheControl([unit.repeat(100_000)])
    }
  })
})

describe('targeted fields (RFC 9213 section 2)', () => {
  const read = (fields: Record<string, string[]>) => {
    const said = targetedDirectives((name) => fields[name] ?? [])
    return said === null ? null : nothingElse(said)
  }
  const cdn = (...lines: string[]) => read({ 'cdn-cache-control': lines })

  const cases: [string, Said | null][] = [
    ['max-age=60', { maxAge: 60 }],
    ['max-age=60, no-store', { maxAge: 60, noStore: true }],
    ['max-age=60;ext="x"', { maxAge: 60 }],
    ['max-age=1, max-age=60', { maxAge: 60 }],
    ['no-cache, private', { noCache: true, private: true }],
    ['no-cache="a, B", private="c"', { noCacheFields: ['a', 'b'], privateFields: ['c'] }],
    ['no-cache=a', { noCache: true }],
    ['no-cache=?0', {}],
    ['public, must-revalidate', { public: true, mustRevalidate: true, allowsAuthorization: true }],
    ['none', {}],
    // a value of another type is not consumed
    ['max-age="60"', {}],
    ['max-age=60.0', {}],
    ['max-age=-1', {}],
    ['max-age', {}],
    ['max-age=(60)', {}],
    ['public=1', {}],
    ['no-store=1', { noStore: true }],
    ['no-store=?0', {}],
    // what is no dictionary, or an empty one, is as if it were not there
    ['', null],
    ['max-age=60,', null],
    ['MAX-AGE=60', null],
    ['max-age = 60', null],
    ['max-age=60 no-store', null],
    ['max-age=60; no-store', { maxAge: 60 }],
    ['max-age="60', null],
    ["max-age='60'", null],
  ]
  test.each(cases)('%s', (line, said) => expect(cdn(line)).toEqual(said))

  test('the first valid one of the list decides alone (section 2.2)', () => {
    expect(read({ 'banyan-cache-control': ['max-age=1'], 'cdn-cache-control': ['no-store'] })).toEqual({ maxAge: 1 })
    expect(read({ 'banyan-cache-control': ['???'], 'cdn-cache-control': ['no-store'] })).toEqual({ noStore: true })
    expect(read({ 'cdn-cache-control': ['max-age=1', 'no-store'] })).toEqual({ maxAge: 1, noStore: true })
    expect(read({})).toBeNull()
  })
})
