/**
 * What may be sent again, and where to: the rule that nothing which may have been carried out is repeated.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FAILURES, type FailureCode } from '../../../src/rules/failures/failure.ts'
import {
  type BrokenAttempt,
  type Failed,
  isWithinRetryBudget,
  mayFallBack,
  mayHaveArrived,
  mayRetry,
  mostIdleMs,
  replayableBytes,
} from '../../../src/rules/failures/resilience.ts'
import type { Route } from '../../../src/rules/table/table.ts'
import { tableOf } from '../make.ts'

const CODES = Object.keys(FAILURES) as FailureCode[]
const METHODS = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'PUT', 'DELETE', 'POST', 'PATCH', 'LOCK', 'get']
const IDEMPOTENT = METHODS.slice(0, 7)
const BEFORE_SENDING: FailureCode[] = [
  'connect',
  'connect-timeout',
  'refused-stream',
  'no-server',
  'overloaded',
  'queue-timeout',
]

function broken(over: Partial<BrokenAttempt>): BrokenAttempt {
  const first = { attempts: 1, reused: false, answered: false, bodyKept: true, elsewhere: true, bound: false }
  return { failure: 'response-head', method: 'GET', ...first, ...over }
}

test.each<[string, boolean, boolean, number]>([
  ['GET', false, false, Number.POSITIVE_INFINITY],
  ['PUT', false, false, Number.POSITIVE_INFINITY],
  // Its body is gone with the first try.
  ['PUT', true, false, 1000],
  ['POST', true, false, 1000],
  ['POST', false, false, 1000],
  ['LOCK', false, false, 1000],
  ['GET', false, true, Number.POSITIVE_INFINITY],
  ['PROPFIND', true, true, 1000],
  ['PUT', false, true, 0],
  ['POST', true, true, 0],
  ['LOCK', false, true, 0],
])(
  '%s (with a body: %s, fresh: unsafe: %s) goes over connections idle for at most %s ms',
  (method, body, fresh, ms) => {
    expect(mostIdleMs(method, body, fresh)).toBe(ms)
  },
)

describe('retry', () => {
  test.each<[Partial<BrokenAttempt>, boolean]>([
    [{ failure: 'connect', method: 'POST' }, true],
    [{ failure: 'connect', method: 'POST', elsewhere: false }, true],
    [{ failure: 'connect-timeout', method: 'POST' }, true],
    [{ failure: 'connect-timeout', elsewhere: false }, false],
    [{ failure: 'response-head' }, true],
    [{ failure: 'response-head', elsewhere: false }, false],
    [{ failure: 'response-head', elsewhere: false, reused: true }, true],
    [{ failure: 'response-head', method: 'POST', reused: true }, false],
    [{ failure: 'response-head', method: 'PUT' }, true],
    [{ failure: 'response-head', method: 'PUT', bodyKept: false }, false],
    [{ failure: 'headers-timeout' }, true],
    [{ failure: 'headers-timeout', elsewhere: false }, false],
    [{ failure: 'idle-timeout' }, true],
    [{ failure: 'response-malformed' }, false],
    [{ failure: 'response-head', answered: true }, false],
    [{ failure: 'connect', attempts: 2 }, false],
    [{ failure: 'refused-stream', method: 'POST', elsewhere: false, reused: true }, true],
    [{ failure: 'refused-stream', method: 'POST', bodyKept: false }, false],
    [{ failure: 'request-timeout' }, false],
    [{ failure: 'client-stalled' }, false],
    [{ failure: 'deadline' }, false],
    [{ failure: 'response-head', reused: true, bound: true }, false],
    [{ failure: 'headers-timeout', bound: true }, false],
    [{ failure: 'connect', method: 'POST', bound: true }, true],
  ])('%j: %s', (over, expected) => {
    expect(mayRetry(broken(over))).toBe(expected)
  })

  const attempt = fc.record({
    failure: fc.constantFrom(...CODES),
    method: fc.constantFrom(...METHODS),
    attempts: fc.integer({ min: 1, max: 3 }),
    reused: fc.boolean(),
    answered: fc.boolean(),
    bodyKept: fc.boolean(),
    elsewhere: fc.boolean(),
    bound: fc.boolean(),
  })

  test('never what may have been carried out already, never after a byte of an answer, never a third time', () => {
    fc.assert(
      fc.property(attempt, (one) => {
        if (!mayRetry(one)) return true
        const harmless = IDEMPOTENT.includes(one.method) || BEFORE_SENDING.includes(one.failure)
        if (one.bound && !BEFORE_SENDING.includes(one.failure)) return false
        return harmless && !one.answered && one.attempts === 1 && one.bodyKept
      }),
      { numRuns: 5000 },
    )
  })

  test('its budget is for what may have arrived: 3, or a fifth of what is under way', () => {
    expect([0, 2, 3].map((retrying) => isWithinRetryBudget(retrying, 5))).toEqual([true, true, false])
    expect([19, 20].map((retrying) => isWithinRetryBudget(retrying, 100))).toEqual([true, false])
    const arrived = (over: Partial<BrokenAttempt>) => mayHaveArrived(broken(over))
    expect(arrived({ failure: 'connect' })).toBe(false)
    expect(arrived({ failure: 'response-head', reused: true })).toBe(false)
    expect(arrived({ failure: 'response-head' })).toBe(true)
    expect(arrived({ failure: 'headers-timeout', reused: true })).toBe(true)
  })
})

const TO = { routeId: 'a', upstream: 'gtin', reason: 'percent', bucket: 1, percent: 50, sticky: null } as const

function routeWith(fallback: object | undefined): Route {
  const said = { id: 'a', match: { path: '/a' }, to: 'gtin', percent: 50 }
  return tableOf([fallback === undefined ? said : { ...said, fallback }]).routes[0] as Route
}

describe('fallback', () => {
  const ways: Failed[] = [
    { failure: 'connect' },
    { failure: 'connect-timeout' },
    { failure: 'no-server' },
    { failure: 'overloaded' },
    { failure: 'queue-timeout' },
    { failure: 'headers-timeout' },
    { failure: 'response-head' },
    { failure: 'response-malformed' },
    { failure: 'deadline' },
    { status: 404 },
    { status: 500 },
    { status: 503 },
  ]
  const names = (fallback: object, method: string): string[] =>
    ways
      .filter((failed) => mayFallBack(routeWith(fallback), TO, method, failed, true))
      .map((failed) => ('status' in failed ? String(failed.status) : failed.failure))

  test.each<[string, object, string, string[]]>([
    [
      'by default',
      {},
      'GET',
      [
        ...['connect', 'connect-timeout', 'no-server', 'overloaded', 'queue-timeout', 'headers-timeout'],
        ...['response-head', 'response-malformed', '503'],
      ],
    ],
    ['by default not for', {}, 'POST', []],
    ['by default not for', {}, 'PUT', []],
    ['what has not moved yet', { on: [404] }, 'GET', ['404']],
    [
      'connect is whatever ended before an answer',
      { on: ['connect'] },
      'HEAD',
      ['connect', 'connect-timeout', 'no-server', 'response-head'],
    ],
    ['timeout', { on: ['timeout'] }, 'GET', ['connect-timeout', 'headers-timeout']],
    ['methods: idempotent', { methods: 'idempotent', on: [503] }, 'PUT', ['overloaded', 'queue-timeout', '503']],
    ['methods: idempotent not for', { methods: 'idempotent' }, 'POST', []],
    [
      'methods: all, only where nothing was sent, for',
      { methods: 'all' },
      'POST',
      ['connect', 'connect-timeout', 'no-server', 'overloaded', 'queue-timeout'],
    ],
  ])('%s %j %s', (_, fallback, method, expected) => {
    expect(names(fallback, method)).toEqual(expected)
  })

  test('not without one, not from the other side, not for what was forced, not with a body that is gone', () => {
    const failed = { failure: 'connect' } as const
    expect(mayFallBack(routeWith({}), TO, 'GET', failed, true)).toBe(true)
    expect(mayFallBack(routeWith(undefined), TO, 'GET', failed, true)).toBe(false)
    expect(mayFallBack(null, TO, 'GET', failed, true)).toBe(false)
    expect(mayFallBack(routeWith({}), { ...TO, upstream: 'legacy', reason: 'fallback' }, 'GET', failed, true)).toBe(
      false,
    )
    expect(mayFallBack(routeWith({}), { ...TO, reason: 'forced' }, 'GET', failed, true)).toBe(false)
    expect(mayFallBack(routeWith({}), TO, 'GET', failed, false)).toBe(false)
  })

  test('whatever the table says: what is not idempotent only where nothing was sent', () => {
    const fallback = fc.record({
      methods: fc.constantFrom('safe', 'idempotent', 'all'),
      on: fc.uniqueArray(fc.constantFrom<string | number>('connect', 'timeout', 404, 500, 502, 503), { minLength: 1 }),
    })
    const failed: fc.Arbitrary<Failed> = fc.oneof(
      fc.record({ failure: fc.constantFrom(...CODES) }),
      fc.record({ status: fc.constantFrom(404, 500, 502, 503) }),
    )
    fc.assert(
      fc.property(fallback, failed, fc.constantFrom('POST', 'PATCH', 'LOCK'), (said, how, method) => {
        if (!mayFallBack(routeWith(said), TO, method, how, true)) return true
        return said.methods === 'all' && 'failure' in how && BEFORE_SENDING.includes(how.failure)
      }),
      { numRuns: 3000 },
    )
  })

  test.each<[string, object | undefined, string, number | null, number]>([
    ['idempotent', { methods: 'idempotent' }, 'PUT', 10, 65_536],
    ['unknown length', { methods: 'all', maxReplay: '1KiB' }, 'DELETE', null, 1024],
    ['too long', { methods: 'idempotent', maxReplay: '1KiB' }, 'PUT', 1025, 0],
    ['just fits', { methods: 'idempotent', maxReplay: '1KiB' }, 'PUT', 1024, 1024],
    ['not idempotent', { methods: 'all' }, 'POST', 10, 0],
    ['safe only', {}, 'PUT', 10, 0],
    ['no fallback', undefined, 'PUT', 10, 0],
  ])('a body is kept where it may be sent again: %s', (_, fallback, method, length, expected) => {
    expect(replayableBytes(routeWith(fallback), TO, method, length)).toBe(expected)
  })

  test('nothing is kept for what goes to the other side anyway', () => {
    const route = routeWith({ methods: 'idempotent' })
    expect(replayableBytes(route, { ...TO, upstream: 'legacy', reason: 'rest' }, 'PUT', 1)).toBe(0)
  })
})
