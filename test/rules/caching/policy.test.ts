/**
 * What a stored answer may do for a request (RFC 9111 sections 4 and 5.2.1, RFC 5861).
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NOTHING_ASKED, readCacheFields } from '../../../src/rules/caching/fields.ts'
import { ageMsOf } from '../../../src/rules/caching/freshness.ts'
import {
  asStale,
  evaluate,
  evaluateNothing,
  mayServeStaleOnError,
  type UpstreamFailure,
} from '../../../src/rules/caching/policy.ts'
import { mayStore } from '../../../src/rules/caching/storing.ts'
import { answer, asked, at, date, policy, raw, request, stored } from './make.ts'

/** A verdict in words, for an answer stored with these directives and asked for so many seconds later. */
function verdict(directives: string, seconds: number, ...lines: string[]): string {
  const { kind, why } = evaluate(asked(...lines), stored([`Cache-Control: ${directives}`, 'ETag: "a"']), at(seconds))
  return kind === why ? kind : `${kind} ${why}`
}

describe('without a wish of the client (section 4.2)', () => {
  test.each([
    ['max-age=60', 0, 'fresh'],
    ['max-age=60', 59.999, 'fresh'],
    ['max-age=60', 60, 'validate expired'],
    ['max-age=0', 0, 'validate expired'],
    ['no-cache, max-age=60', 0, 'validate no-cache'],
    ['no-cache="x", max-age=60', 0, 'fresh'],
    ['max-age=60, must-revalidate', 59, 'fresh'],
    ['max-age=60, must-revalidate', 61, 'validate expired'],
    ['s-maxage=5, max-age=60', 6, 'validate expired'],
    ['s-maxage=60, max-age=5', 6, 'fresh'],
  ])('%s after %d s: %s', (directives, seconds, expected) => expect(verdict(directives, seconds)).toBe(expected))
})

describe('stale-while-revalidate (RFC 5861 section 3)', () => {
  test.each([
    ['max-age=60, stale-while-revalidate=30', 60, 'stale-while-revalidate'],
    ['max-age=60, stale-while-revalidate=30', 89.9, 'stale-while-revalidate'],
    ['max-age=60, stale-while-revalidate=30', 90, 'validate expired'],
    ['max-age=60, stale-while-revalidate=30, must-revalidate', 61, 'validate expired'],
    ['max-age=60, stale-while-revalidate=30, proxy-revalidate', 61, 'validate expired'],
    ['s-maxage=60, stale-while-revalidate=30', 61, 'validate expired'],
    ['no-cache, stale-while-revalidate=30', 1, 'validate no-cache'],
  ])('%s after %d s: %s', (directives, seconds, expected) => expect(verdict(directives, seconds)).toBe(expected))

  test('is not for a client that wants nothing stale', () => {
    const directives = 'max-age=60, stale-while-revalidate=30'
    expect(verdict(directives, 61, 'Cache-Control: max-age=600')).toBe('validate expired')
    expect(verdict(directives, 61, 'Cache-Control: max-age=600, max-stale=60')).toBe('stale max-stale')
    expect(verdict(directives, 61, 'Cache-Control: min-fresh=0')).toBe('validate request-min-fresh')
  })
})

describe('request directives (section 5.2.1)', () => {
  const cases: [string, number, string, string][] = [
    ['max-age=60', 10, 'no-cache', 'validate request-no-cache'],
    ['max-age=60', 10, 'no-store', 'fresh'],
    ['max-age=60', 10, 'max-age=10', 'fresh'],
    ['max-age=60', 10.1, 'max-age=10', 'validate request-max-age'],
    ['max-age=60', 0, 'max-age=0', 'validate request-max-age'],
    ['max-age=60, immutable', 10, 'max-age=0', 'validate request-max-age'],
    ['max-age=60', 10, 'max-age=x', 'validate request-max-age'],
    ['max-age=60', 10, 'min-fresh=50', 'fresh'],
    ['max-age=60', 10, 'min-fresh=51', 'validate request-min-fresh'],
    ['max-age=60', 10, 'min-fresh=x', 'validate request-min-fresh'],
    ['max-age=60', 70, 'max-stale', 'stale max-stale'],
    ['max-age=60', 70, 'max-stale=10', 'stale max-stale'],
    ['max-age=60', 70.1, 'max-stale=10', 'validate expired'],
    ['max-age=60', 70, 'max-stale=x', 'validate expired'],
    ['max-age=60', 10, 'max-stale', 'fresh'],
    ['max-age=60, must-revalidate', 70, 'max-stale', 'validate expired'],
    ['max-age=60, proxy-revalidate', 70, 'max-stale', 'validate expired'],
    ['s-maxage=60', 70, 'max-stale', 'validate expired'],
    ['max-age=60, no-cache', 10, 'max-stale', 'validate no-cache'],
    ['max-age=60', 70, 'max-stale, max-age=65', 'validate request-max-age'],
    ['max-age=60', 10, 'only-if-cached', 'fresh'],
    ['max-age=60', 70, 'only-if-cached', 'only-if-cached expired'],
    ['max-age=60', 70, 'only-if-cached, max-stale', 'stale max-stale'],
    ['max-age=60', 10, 'only-if-cached, no-cache', 'only-if-cached request-no-cache'],
  ]
  test.each(cases)('%s after %d s, asked %s: %s', (directives, seconds, wish, expected) =>
    expect(verdict(directives, seconds, `Cache-Control: ${wish}`)).toBe(expected),
  )

  test('Pragma counts only where there is no Cache-Control (section 5.4)', () => {
    expect(verdict('max-age=60', 1, 'Pragma: no-cache')).toBe('validate request-no-cache')
    expect(verdict('max-age=60', 1, 'pragma: x', 'PRAGMA: no-cache')).toBe('validate request-no-cache')
    expect(verdict('max-age=60', 1, 'Pragma: no-cache', 'Cache-Control: max-age=9')).toBe('fresh')
    expect(verdict('max-age=60', 1, 'Pragma: x')).toBe('fresh')
  })

  test('with nothing stored, only-if-cached is 504 (section 5.2.1.7)', () => {
    expect(evaluateNothing(asked('Cache-Control: only-if-cached'))).toEqual({
      kind: 'only-if-cached',
      why: 'nothing-stored',
    })
    expect(evaluateNothing(asked())).toBeNull()
  })
})

describe('what a cache must not answer', () => {
  test.each(['If-Match: "a"', 'If-Unmodified-Since: x'])('%s is for the origin (section 4.3.2)', (line) => {
    expect(verdict('max-age=60', 1, line)).toBe('miss precondition')
  })

  test('Authorization takes what was stated, not what was assumed (section 3.5)', () => {
    expect(verdict('max-age=60', 1, 'Authorization: x')).toBe('fresh')
    const assumed = stored(['ETag: "a"'], { ttlMs: 60_000 })
    expect(evaluate(asked('Authorization: x'), assumed, at(1))).toEqual({ kind: 'miss', why: 'authorization' })
    expect(evaluate(asked(), assumed, at(1)).kind).toBe('fresh')
    const forced = stored([], { mode: 'forced', ttlMs: 60_000, force: new Set(['authorization']) })
    expect(evaluate(asked('Authorization: x'), forced, at(1)).kind).toBe('fresh')
  })
})

describe('a failed upstream (section 4.2.4, RFC 5861 section 4)', () => {
  const onError = (directives: string, seconds: number, failure: UpstreamFailure, ...lines: string[]) => {
    const meta = stored([`Cache-Control: ${directives}`, 'ETag: "a"'])
    const { kind, why } = mayServeStaleOnError(asked(...lines), meta, failure, at(seconds))
    return `${kind} ${why}`
  }
  const cases: [string, number, UpstreamFailure, string[], string][] = [
    ['max-age=60', 70, 'unreachable', [], 'serve disconnected'],
    ['max-age=60', 1e6, 'unreachable', [], 'serve disconnected'],
    ['max-age=60', 70, 503, [], 'refuse window'],
    ['max-age=60, stale-if-error=30', 70, 'unreachable', [], 'serve stale-if-error'],
    ...[500, 502, 503, 504].map((status): [string, number, UpstreamFailure, string[], string] => [
      'max-age=60, stale-if-error=30',
      70,
      status,
      [],
      'serve stale-if-error',
    ]),
    ['max-age=60, stale-if-error=30', 90, 503, [], 'refuse window'],
    ['max-age=60, stale-if-error=30', 90, 'unreachable', [], 'refuse window'],
    ['max-age=60, stale-if-error=30', 70, 404, [], 'refuse status'],
    ['max-age=60, stale-if-error=30', 70, 501, [], 'refuse status'],
    ['max-age=60, must-revalidate', 70, 'unreachable', [], 'refuse must-revalidate'],
    ['max-age=60, proxy-revalidate, stale-if-error=30', 70, 'unreachable', [], 'refuse must-revalidate'],
    ['s-maxage=60, stale-if-error=30', 70, 'unreachable', [], 'refuse must-revalidate'],
    ['max-age=60, no-cache', 1, 'unreachable', [], 'refuse no-cache'],
    ['max-age=60', 10, 'unreachable', ['Cache-Control: max-age=0'], 'refuse request'],
    ['max-age=60', 70, 'unreachable', ['Cache-Control: no-cache'], 'refuse request'],
    ['max-age=60', 70, 'unreachable', ['Cache-Control: min-fresh=5'], 'refuse request'],
    ['max-age=60', 10, 'unreachable', ['Cache-Control: max-age=20'], 'serve fresh'],
    ['max-age=60', 70, 503, ['Cache-Control: stale-if-error=20'], 'serve stale-if-error'],
    ['max-age=60', 70, 503, ['Cache-Control: stale-if-error=5'], 'refuse window'],
    ['max-age=60', 70, 503, ['Cache-Control: max-age=5, stale-if-error=20'], 'serve stale-if-error'],
    ['max-age=60, must-revalidate', 70, 503, ['Cache-Control: stale-if-error=20'], 'refuse must-revalidate'],
    ['max-age=60', 70, 'unreachable', ['If-Match: "a"'], 'refuse request'],
  ]
  test.each(cases)('%s after %d s, %s, asked %j: %s', (directives, seconds, failure, lines, expected) =>
    expect(onError(directives, seconds, failure, ...lines)).toBe(expected),
  )
})

test('a soft purge leaves a stale answer whose windows begin now', () => {
  const meta = stored(['Cache-Control: max-age=60, stale-while-revalidate=30'])
  const purged = asStale(meta, at(10))
  expect(evaluate(NOTHING_ASKED, purged, at(10)).kind).toBe('stale-while-revalidate')
  expect(evaluate(NOTHING_ASKED, purged, at(40)).kind).toBe('validate')
  expect(meta.usefulUntilMs - purged.usefulUntilMs).toBe(50_000)
  expect(asStale(purged, at(20))).toBe(purged)
})

describe('the request that asks nothing', () => {
  test('is told by its names alone', () => {
    expect(asked('Accept: x', 'Cookie: a', 'Origin: b', 'Content-Type: c', 'Proxy-Authorization: d')).toBe(
      NOTHING_ASKED,
    )
    expect(readCacheFields([])).toBe(NOTHING_ASKED)
  })

  test.each([
    ['Range: bytes=0-1', { range: 'bytes=0-1' }],
    ['IF-RANGE: "a"', { ifRange: '"a"' }],
    ['If-None-Match: "a"', { ifNoneMatch: '"a"' }],
    ['If-Modified-Since: x', { ifModifiedSince: 'x' }],
    ['AUTHORIZATION: x', { authorization: true }],
  ])('%s is seen', (line, seen) => expect(asked(line)).toEqual({ ...NOTHING_ASKED, ...seen }))

  test('lines are combined', () => {
    expect(asked('If-None-Match: "a"', 'if-none-match: "b"').ifNoneMatch).toBe('"a", "b"')
  })
})

describe('properties', () => {
  const directive = fc.oneof(
    fc.constantFrom(
      'no-store',
      'no-cache',
      'private',
      'public',
      'must-revalidate',
      'proxy-revalidate',
      'immutable',
      'x=1',
    ),
    fc
      .tuple(fc.constantFrom('max-age', 's-maxage', 'stale-while-revalidate'), fc.nat(200))
      .map(([n, s]) => `${n}=${s}`),
  )
  const directives = fc.array(directive, { maxLength: 4 })
  const head = fc.record({
    said: directives,
    expires: fc.option(fc.integer({ min: -100, max: 200 })),
    dated: fc.option(fc.integer({ min: -100, max: 100 })),
    age: fc.option(fc.nat(100)),
  })
  const wish = fc.array(
    fc.oneof(
      fc.constantFrom('no-cache', 'no-store', 'max-stale', 'only-if-cached'),
      fc.tuple(fc.constantFrom('max-age', 'min-fresh', 'max-stale'), fc.nat(100)).map(([n, s]) => `${n}=${s}`),
    ),
    { maxLength: 3 },
  )
  type Head = { said: string[]; expires: number | null; dated: number | null; age: number | null }
  const linesOf = ({ said, expires, dated, age }: Head) => [
    ...(said.length > 0 ? [`Cache-Control: ${said.join(', ')}`] : []),
    ...(expires === null ? [] : [`Expires: ${date(expires)}`]),
    ...(dated === null ? [] : [`Date: ${date(dated)}`]),
    ...(age === null ? [] : [`Age: ${age}`]),
    'ETag: "a"',
  ]
  /** What is done so many seconds after the answer came. */
  const outcome = (lines: string[], wishes: string[], seconds: number, asks: string[] = []) => {
    const asksAll = [...asks, ...(wishes.length > 0 ? [`Cache-Control: ${wishes.join(', ')}`] : [])]
    const made = mayStore(request(asks), answer(lines), policy())
    if (made.kind === 'skip') return { kind: 'skip' as const, ageMs: 0 }
    const nowMs = at(seconds)
    return { kind: evaluate(asked(...asksAll), made.meta, nowMs).kind, ageMs: ageMsOf(made.meta, nowMs) }
  }
  const serves = (kind: string) => kind === 'fresh' || kind === 'stale' || kind === 'stale-while-revalidate'

  test('never fresh past its lifetime', () => {
    fc.assert(
      fc.property(head, wish, fc.double({ min: 0, max: 400, noNaN: true }), (given, wishes, seconds) => {
        const { kind, ageMs } = outcome(linesOf(given), wishes, seconds)
        if (kind !== 'fresh') return
        const of = (name: string) =>
          given.said.filter((text) => text.startsWith(`${name}=`)).map((text) => Number(text.split('=')[1]))
        const [shared, plain] = [of('s-maxage'), of('max-age')]
        const written = shared.length > 0 ? Math.max(...shared) : plain.length > 0 ? Math.max(...plain) : null
        const lifetime = written ?? (given.expires ?? 0) - (given.dated ?? 0)
        expect(ageMs).toBeLessThan(lifetime * 1000)
      }),
      { numRuns: 1000 },
    )
  })

  test('never a private one to another, never no-store, never unvalidated no-cache', () => {
    fc.assert(
      fc.property(
        head,
        wish,
        fc.nat(400),
        fc.constantFrom('private', 'no-store', 'no-cache'),
        (given, wishes, seconds, word) => {
          const { kind } = outcome(linesOf({ ...given, said: [...given.said, word] }), wishes, seconds)
          expect(serves(kind)).toBe(false)
        },
      ),
    )
  })

  test('never one with Authorization, unless a directive allows it', () => {
    fc.assert(
      fc.property(head, fc.nat(400), (given, seconds) => {
        const { kind } = outcome(linesOf(given), [], seconds, ['Authorization: x'])
        const allows = given.said.some((text) => /^(public|must-revalidate|s-maxage=\d+)$/.test(text))
        if (serves(kind)) expect(allows).toBe(true)
      }),
    )
  })

  test.each(['no-store', 'no-cache', 'private', 'must-revalidate', 'max-age=0'])(
    'adding %s to an answer never adds a hit',
    (word) => {
      fc.assert(
        fc.property(head, wish, fc.nat(400), (given, wishes, seconds) => {
          const more = outcome(linesOf({ ...given, said: [...given.said, word] }), wishes, seconds)
          // s-maxage goes before max-age, and a lifetime goes before Expires: max-age=0 can only shorten.
          if (serves(more.kind)) expect(serves(outcome(linesOf(given), wishes, seconds).kind)).toBe(true)
        }),
      )
    },
  )

  test.each(['no-store', 'no-cache', 'max-age=5', 'min-fresh=5'])('adding %s to a request never adds a hit', (word) => {
    fc.assert(
      fc.property(head, wish, fc.nat(400), (given, wishes, seconds) => {
        const more = outcome(linesOf(given), [...wishes, word], seconds)
        if (serves(more.kind)) expect(serves(outcome(linesOf(given), wishes, seconds).kind)).toBe(true)
      }),
    )
  })

  test('any fields are read without an error', () => {
    const name = fc.constantFrom(
      'Cache-Control',
      'Vary',
      'Expires',
      'Date',
      'Age',
      'ETag',
      'Last-Modified',
      'CDN-Cache-Control',
    )
    const lines = fc.array(fc.tuple(name, fc.string()).map(([n, v]) => `${n}: ${v}`))
    fc.assert(
      fc.property(lines, lines, fc.double(), (asks, gives, nowMs) => {
        const made = mayStore(request(asks), answer(gives), policy())
        if (made.kind === 'store') evaluate(readCacheFields(raw(...asks)), made.meta, nowMs)
      }),
    )
  })
})
