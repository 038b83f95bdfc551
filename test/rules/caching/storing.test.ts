/**
 * What may be stored, for how long, and which fields of it (RFC 9111 sections 3 and 4.2).
 */
import { describe, expect, test } from 'vitest'
import { ageOf, ttlOf } from '../../../src/rules/caching/freshness.ts'
import type { AnswerHead, CachePolicySettings, CacheRequest } from '../../../src/rules/caching/meta.ts'
import { mayStore, storedFields } from '../../../src/rules/caching/storing.ts'
import { answer, at, date, NOW, policy, raw, request, stored } from './make.ts'

interface Case {
  readonly lines?: string[]
  readonly asks?: string[]
  readonly req?: Partial<CacheRequest>
  readonly res?: Partial<AnswerHead>
  readonly set?: Partial<CachePolicySettings>
}

function outcome({ lines = [], asks = [], req = {}, res = {}, set = {} }: Case): string {
  const verdict = mayStore(request(asks, req), answer(lines, res), policy(set))
  return verdict.kind === 'skip' ? verdict.why : `${verdict.meta.lifetime} ${ttlOf(verdict.meta, NOW)}`
}

const FRESH = 'Cache-Control: max-age=60'
const force = (...words: ('no-store' | 'private' | 'authorization')[]) => ({
  mode: 'forced' as const,
  ttlMs: 30_000,
  force: new Set(words),
})

describe('storability (section 3)', () => {
  const cases: [string, Case, string][] = [
    ['3: explicit lifetime', { lines: [FRESH] }, 'max-age 60'],
    ['3: HEAD is not stored', { lines: [FRESH], req: { method: 'HEAD' } }, 'method'],
    ['3: PUT is not stored', { lines: [FRESH], req: { method: 'PUT' } }, 'method'],
    ['3: an unknown method is not stored', { lines: [FRESH], req: { method: 'get' } }, 'method'],
    ['3: interim', { lines: [FRESH], res: { status: 103 } }, 'status'],
    ['3: 304 is an update, not an answer', { lines: [FRESH], res: { status: 304 } }, 'status'],
    ['3.3: 206', { lines: [FRESH, 'Content-Range: bytes 0-1/5'], res: { status: 206 } }, 'partial'],
    ['3.3: a part that calls itself 200', { lines: [FRESH, 'Content-Range: bytes 0-1/5'] }, 'partial'],
    ['9110 14.4: Content-Range means nothing in a 200', { lines: [FRESH, 'Content-Range: x'] }, 'max-age 60'],
    ...[401, 407, 408, 412, 413, 416, 417, 421, 425, 426, 428, 429, 431, 511].map((status): [string, Case, string] => [
      `${status} speaks of one request, whatever the route says`,
      {
        lines: ['Cache-Control: public, max-age=60'],
        res: { status },
        set: { ...force('no-store'), errors: 'explicit' },
      },
      'status',
    ]),
    ...[201, 204, 299, 302, 307, 404, 410, 414, 451].map((status): [string, Case, string] => [
      `3: ${status} with an explicit lifetime`,
      { lines: [FRESH], res: { status } },
      'max-age 60',
    ]),
    ...[400, 403, 405, 406, 418, 499, 500, 501, 502, 503, 504, 599].flatMap((status): [string, Case, string][] => [
      [`${status} by default`, { lines: [FRESH], res: { status } }, 'error'],
      [
        `3: ${status} with an explicit lifetime where the route says so`,
        { lines: [FRESH], res: { status }, set: { errors: 'explicit' } },
        'max-age 60',
      ],
    ]),
    ['5.2.1.5: request no-store', { lines: [FRESH], asks: ['Cache-Control: no-store'] }, 'request-no-store'],
    ['5.2.2.5: no-store', { lines: ['Cache-Control: max-age=60, no-store'] }, 'no-store'],
    ['5.2.2.5: no-store in another line', { lines: [FRESH, 'cache-control: No-Store'] }, 'no-store'],
    ['5.2.2.7: private', { lines: ['Cache-Control: private, max-age=60'] }, 'private'],
    ['5.2.2.7: private and public: the stricter', { lines: ['Cache-Control: public, private, max-age=60'] }, 'private'],
    ['5.2.2.7: private="x" is stored', { lines: ['Cache-Control: private="x", max-age=60'] }, 'max-age 60'],
    [
      '5.2.2.3: understood, so no-store is not meant',
      { lines: ['Cache-Control: must-understand, no-store, max-age=60'] },
      'max-age 60',
    ],
    [
      '5.2.2.3: not understood',
      {
        lines: ['Cache-Control: must-understand, no-store, max-age=60'],
        res: { status: 599 },
        set: { errors: 'explicit' },
      },
      'must-understand',
    ],
    [
      '5.2.2.3: not understood, without no-store',
      { lines: ['Cache-Control: must-understand, max-age=60'], res: { status: 299 } },
      'must-understand',
    ],
    ['3.5: Authorization', { lines: [FRESH], asks: ['Authorization: Basic x'] }, 'authorization'],
    ...['public, max-age=60', 'must-revalidate, max-age=60'].map((value): [string, Case, string] => [
      `3.5: Authorization with ${value}`,
      { lines: [`Cache-Control: ${value}`], asks: ['authorization: Basic x'] },
      'max-age 60',
    ]),
    [
      '3.5: Authorization with s-maxage',
      { lines: ['Cache-Control: s-maxage=60'], asks: ['Authorization: x'] },
      's-maxage 60',
    ],
    [
      '3.5: an unreadable s-maxage allows nothing',
      { lines: ['Cache-Control: s-maxage=x', 'ETag: "a"'], asks: ['Authorization: x'] },
      'authorization',
    ],
    ['4.1: Vary: *', { lines: [FRESH, 'Vary: *'] }, 'vary'],
    ['4.1: * anywhere in any line', { lines: [FRESH, 'Vary: Accept', 'Vary: Foo, *'] }, 'vary'],
    ['4.1: a Vary that can not be read', { lines: [FRESH, 'Vary: a b'] }, 'vary'],
    ['15.1: a status that needs a lifetime', { lines: ['ETag: "a"'], res: { status: 302 } }, 'not-cacheable'],
    [
      '15.1: 500 with a validator',
      { lines: ['ETag: "a"'], res: { status: 500 }, set: { errors: 'explicit' } },
      'not-cacheable',
    ],
    [
      'an error with a validator alone has no lifetime of its own',
      { lines: ['ETag: "a"'], res: { status: 501 }, set: { errors: 'explicit' } },
      'not-cacheable',
    ],
    ['neither lifetime nor validator', {}, 'no-use'],
    ['a validator is enough', { lines: ['ETag: "a"'] }, 'none 0'],
    ['an entity tag without quotes is none', { lines: ['ETag: a'] }, 'no-use'],
    ['already stale, nothing to validate by', { lines: ['Cache-Control: max-age=0'] }, 'no-use'],
    [
      'already stale, but within its window',
      { lines: ['Cache-Control: max-age=0, stale-while-revalidate=9'] },
      'max-age 0',
    ],
    ['no-cache without a validator', { lines: ['Cache-Control: no-cache, max-age=60'] }, 'no-use'],
    ['no-cache with a validator', { lines: ['Cache-Control: no-cache, max-age=60', 'ETag: "a"'] }, 'max-age 60'],
    ['response Pragma means nothing (section 5.4)', { lines: [FRESH, 'Pragma: no-cache'] }, 'max-age 60'],
  ]
  test.each(cases)('%s', (_name, given, expected) => expect(outcome(given)).toBe(expected))
})

describe('POST (RFC 9110 section 9.3.3)', () => {
  const post = (location: string[], lines = [FRESH], status = 200, storePost = true) =>
    outcome({
      lines: [...lines, ...location.map((value) => `Content-Location: ${value}`)],
      req: { method: 'POST' },
      res: { status },
      set: { storePost },
    })
  test('is not stored unless the route says so', () => {
    expect(post(['/p?q=1'], [FRESH], 200, false)).toBe('method')
  })
  test.each([
    ['/p?q=1', 'max-age 60'],
    ['http://shop.test/p?q=1', 'max-age 60'],
    ['HTTP://SHOP.test:80/p?q=1', 'max-age 60'],
    ['?q=1', 'max-age 60'],
    ['/p', 'method'],
    ['/P?q=1', 'method'],
    ['http://other.test/p?q=1', 'method'],
    ['https://shop.test/p?q=1', 'method'],
  ])('Content-Location %s', (location, expected) => expect(post([location])).toBe(expected))
  test('needs an explicit lifetime, one location and success', () => {
    expect(post(['/p?q=1'], ['ETag: "a"'])).toBe('method')
    expect(post([])).toBe('method')
    expect(post(['/p?q=1', '/p?q=1'])).toBe('method')
    expect(post(['/p?q=1'], [FRESH], 201)).toBe('method')
  })
})

describe('lifetime (section 4.2.1)', () => {
  const D = `Date: ${date(0)}`
  const cases: [string, Case, string][] = [
    [
      's-maxage over max-age over Expires',
      { lines: ['Cache-Control: max-age=1, s-maxage=60', D, `Expires: ${date(9)}`] },
      's-maxage 60',
    ],
    ['max-age over Expires', { lines: [FRESH, D, `Expires: ${date(9)}`] }, 'max-age 60'],
    [
      'an unreadable s-maxage does not fall back',
      { lines: ['Cache-Control: max-age=60, s-maxage=x', 'ETag: "a"'] },
      's-maxage 0',
    ],
    ['Expires less Date', { lines: [D, `Expires: ${date(90)}`] }, 'expires 90'],
    [
      'Expires less Date, with a clock behind ours',
      { lines: [`Date: ${date(-30)}`, `Expires: ${date(70)}`] },
      'expires 70',
    ],
    [
      'Expires less Date, with a clock ahead of ours',
      { lines: [`Date: ${date(100)}`, `Expires: ${date(160)}`] },
      'expires 60',
    ],
    ['Expires less the time of receipt', { lines: [`Expires: ${date(90)}`] }, 'expires 90'],
    ['an unreadable Date is the time of receipt', { lines: ['Date: 0', `Expires: ${date(90)}`] }, 'expires 90'],
    [
      'a repeated Date is the time of receipt',
      { lines: [D, `Date: ${date(-9)}`, `Expires: ${date(90)}`] },
      'expires 90',
    ],
    ['Expires in the past', { lines: [D, `Expires: ${date(-1)}`, 'ETag: "a"'] }, 'expires 0'],
    ['5.3: Expires: 0', { lines: [D, 'Expires: 0', 'ETag: "a"'] }, 'expires 0'],
    ['5.3: Expires of no GMT', { lines: [D, `Expires: ${date(90).replace('GMT', 'EST')}`, 'ETag: "a"'] }, 'expires 0'],
    ['5.3: an empty Expires', { lines: [D, 'Expires:', 'ETag: "a"'] }, 'expires 0'],
    ['repeated Expires', { lines: [D, `Expires: ${date(90)}`, `Expires: ${date(90)}`, 'ETag: "a"'] }, 'expires 0'],
    [
      'no heuristics where Expires is unreadable',
      { lines: [D, 'Expires: x', `Last-Modified: ${date(-9000)}`] },
      'expires 0',
    ],
    [
      'no heuristics where max-age is unreadable',
      { lines: [D, 'Cache-Control: max-age=x', `Last-Modified: ${date(-9000)}`] },
      'max-age 0',
    ],
    [
      '4.2.2: a tenth of the time since Last-Modified',
      { lines: [D, `Last-Modified: ${date(-1000)}`] },
      'heuristic 100',
    ],
    ['4.2.2: a day at most', { lines: [D, `Last-Modified: ${date(-1e8)}`] }, 'heuristic 86400'],
    ['4.2.2: Last-Modified in the future gives nothing', { lines: [D, `Last-Modified: ${date(9)}`] }, 'none 0'],
    ['4.2.2: an unreadable Last-Modified gives nothing', { lines: [D, 'Last-Modified: then'] }, 'no-use'],
    ...[203, 204, 300, 301, 308, 404, 405, 410, 414, 501].map((status): [string, Case, string] => [
      `4.2.2: heuristics for ${status}`,
      { lines: [D, `Last-Modified: ${date(-1000)}`], res: { status }, set: { errors: 'explicit' } },
      'heuristic 100',
    ]),
    [
      '4.2.2: none for 403',
      { lines: [D, `Last-Modified: ${date(-1000)}`], res: { status: 403 }, set: { errors: 'explicit' } },
      'not-cacheable',
    ],
    [
      '5.2.2.9: public makes any status heuristic',
      {
        lines: [D, 'Cache-Control: public', `Last-Modified: ${date(-1000)}`],
        res: { status: 599 },
        set: { errors: 'explicit' },
      },
      'heuristic 100',
    ],
    [
      'RFC 9213: a targeted field alone decides',
      { lines: ['Cache-Control: no-store', 'CDN-Cache-Control: max-age=60'] },
      'max-age 60',
    ],
    ['RFC 9213: it forbids alone as well', { lines: [FRESH, 'CDN-Cache-Control: no-store'] }, 'no-store'],
    [
      'RFC 9213: Expires is ignored with it',
      { lines: [D, `Expires: ${date(90)}`, 'CDN-Cache-Control: none', 'ETag: "a"'] },
      'none 0',
    ],
    [
      'RFC 9213: a wrong type is no lifetime',
      { lines: [FRESH, 'CDN-Cache-Control: max-age="60"', 'ETag: "a"'] },
      'none 0',
    ],
    ['RFC 9213: a broken one is ignored', { lines: [FRESH, 'CDN-Cache-Control: max-age=9,'] }, 'max-age 60'],
    [
      'RFC 9213: ours comes first',
      { lines: ['CDN-Cache-Control: max-age=9', 'Banyan-Cache-Control: max-age=60'] },
      'max-age 60',
    ],
  ]
  test.each(cases)('%s', (_name, given, expected) => expect(outcome(given)).toBe(expected))
})

describe('age (sections 4.2.3 and 5.1)', () => {
  const ageAtReceipt = (lines: string[], over: Partial<AnswerHead> = {}) => {
    const verdict = mayStore(request(), answer(['Cache-Control: max-age=60', 'ETag: "a"', ...lines], over), policy())
    return verdict.kind === 'store' ? ageOf(verdict.meta, NOW) : verdict.why
  }
  test.each([
    [[], 0],
    [['Age: 30'], 30],
    [['Age: 0030'], 30],
    [[`Date: ${date(-40)}`, 'Age: 30'], 40],
    [[`Date: ${date(-20)}`, 'Age: 30'], 30],
    [[`Date: ${date(60)}`], 0],
    [['Age: 30, 90'], 30],
    [['Age: 30', 'Age: 90'], 30],
    [['Age: , 30'], 30],
    [['Age: x, 30'], 0],
    [['Age: -30'], 0],
    [['Age: 30.5'], 0],
    [['Age: "30"'], 0],
    [['Age: 30;x=1'], 0],
    [['Age: 2147483648'], 2147483648],
    [['Age: 4294967296'], 4294967296],
    [['Age: 99999999999999999999'], 2 ** 40],
  ])('%j is %i seconds', (lines, seconds) => expect(ageAtReceipt(lines)).toBe(seconds))

  test('counts the time that the answer took, and time in store, in milliseconds; rounds down outside', () => {
    const verdict = mayStore(request(), answer(['Age: 5', FRESH], { requestMs: NOW - 1400 }), policy())
    if (verdict.kind === 'skip') throw new Error(verdict.why)
    expect(ageOf(verdict.meta, NOW)).toBe(6)
    expect(ageOf(verdict.meta, NOW + 599)).toBe(6)
    expect(ageOf(verdict.meta, NOW + 600)).toBe(7)
    expect(verdict.meta.freshUntilMs).toBe(NOW - 6400 + 60_000)
    expect(ageOf(verdict.meta, NOW - 1e9)).toBe(0)
  })
})

describe('Set-Cookie', () => {
  const cookie = [FRESH, 'Set-Cookie: a=1', 'Set-Cookie: b=2']
  test.each([
    ['refused by default', cookie, {}, 'set-cookie'],
    ['stored where the route says so', cookie, { setCookie: 'store' }, 'max-age 60'],
    [
      'stored with an explicit lifetime only',
      ['ETag: "a"', 'Set-Cookie: a=1'],
      { setCookie: 'store', ttlMs: 9000 },
      'set-cookie',
    ],
    ['stripped where the route says so', cookie, { setCookie: 'strip' }, 'max-age 60'],
    ['forced alone does not store it', cookie, { mode: 'forced', ttlMs: 9000 }, 'set-cookie'],
    [
      'private="set-cookie" leaves it out',
      ['Cache-Control: max-age=60, private="Set-Cookie"', 'Set-Cookie: a=1'],
      {},
      'max-age 60',
    ],
  ] as [string, string[], Partial<CachePolicySettings>, string][])('%s', (_name, lines, set, expected) =>
    expect(outcome({ lines, set })).toBe(expected),
  )

  test('stripped ones are among the fields left out', () => {
    const verdict = mayStore(request(), answer(cookie), policy({ setCookie: 'strip' }))
    expect(verdict).toMatchObject({ kind: 'store', leaveOut: ['set-cookie'] })
  })
})

describe("the route's word", () => {
  const cases: [string, Case, string][] = [
    ['ttl where the answer says nothing', { set: { ttlMs: 30_000 } }, 'ttl 30'],
    ['ttl before heuristics', { lines: [`Last-Modified: ${date(-9000)}`], set: { ttlMs: 30_000 } }, 'ttl 30'],
    ['not where the answer says something', { lines: [FRESH], set: { ttlMs: 30_000 } }, 'max-age 60'],
    ['not against Expires: 0', { lines: ['Expires: 0', 'ETag: "a"'], set: { ttlMs: 30_000 } }, 'expires 0'],
    ['not for a 500', { set: { ttlMs: 30_000, errors: 'explicit' }, res: { status: 500 } }, 'not-cacheable'],
    ...[204, 404, 410, 414].map((status): [string, Case, string] => [
      `not for a ${status}`,
      { lines: ['ETag: "a"'], set: { ttlMs: 30_000 }, res: { status } },
      'none 0',
    ]),
    ['forced against max-age', { lines: [FRESH], set: force() }, 'forced 30'],
    [
      'forced against no-cache and must-revalidate',
      { lines: ['Cache-Control: no-cache, must-revalidate'], set: force() },
      'forced 30',
    ],
    ['forced never for a 500', { set: { ...force(), errors: 'explicit' }, res: { status: 500 } }, 'not-cacheable'],
    ['forced never for a 405', { set: { ...force(), errors: 'explicit' }, res: { status: 405 } }, 'not-cacheable'],
    ['forced does not override no-store', { lines: ['Cache-Control: no-store'], set: force() }, 'no-store'],
    ['but with its word', { lines: ['Cache-Control: no-store'], set: force('no-store') }, 'forced 30'],
    ['forced does not override private', { lines: ['Cache-Control: private'], set: force('no-store') }, 'private'],
    ['but with its word', { lines: ['Cache-Control: private'], set: force('private') }, 'forced 30'],
    ['forced does not override Authorization', { asks: ['Authorization: x'], set: force('private') }, 'authorization'],
    ['but with its word', { asks: ['Authorization: x'], set: force('authorization') }, 'forced 30'],
    [
      'a word without forced is no word',
      { lines: ['Cache-Control: no-store'], set: { force: new Set(['no-store']) } },
      'no-store',
    ],
    [
      "the client's no-store is its own",
      { asks: ['Cache-Control: no-store'], set: force('no-store') },
      'request-no-store',
    ],
    ['forced does not override Vary: *', { lines: ['Vary: *'], set: force() }, 'vary'],
  ]
  test.each(cases)('%s', (_name, given, expected) => expect(outcome(given)).toBe(expected))
})

describe('stale windows (RFC 5861)', () => {
  const windows = (value: string, set: Partial<CachePolicySettings> = {}) => {
    const meta = stored([`Cache-Control: ${value}`, 'ETag: "a"'], set)
    return [meta.staleWhileRevalidateMs, meta.staleIfErrorMs]
  }
  const route = { staleWhileRevalidateMs: 3000, staleIfErrorMs: 4000 }
  test.each([
    ['max-age=60', {}, [0, null]],
    ['max-age=60, stale-while-revalidate=5, stale-if-error=6', {}, [5000, 6000]],
    ['max-age=60', route, [3000, 4000]],
    ['max-age=60, stale-while-revalidate=0, stale-if-error=0', route, [0, 0]],
    ['max-age=60, must-revalidate, stale-while-revalidate=5, stale-if-error=6', route, [0, null]],
    ['max-age=60, proxy-revalidate', route, [0, null]],
    ['s-maxage=60, stale-while-revalidate=5', route, [0, null]],
    ['max-age=60, no-cache', route, [0, null]],
    ['no-cache, must-revalidate', { ...route, ...force() }, [3000, 4000]],
  ])('%s', (value, set, expected) => expect(windows(value, set)).toEqual(expected))

  test('usefulness ends after the last window, and after the time kept for validation', () => {
    expect(stored(['Cache-Control: max-age=60, stale-if-error=7200']).usefulUntilMs).toBe(at(60 + 7200))
    expect(stored(['Cache-Control: max-age=60']).usefulUntilMs).toBe(at(60 + 3600))
    expect(stored(['Cache-Control: max-age=60, must-revalidate']).usefulUntilMs).toBe(at(60))
    expect(stored(['Cache-Control: max-age=60, must-revalidate', 'ETag: "a"'], { keepMs: 1000 }).usefulUntilMs).toBe(
      at(61),
    )
  })
})

describe('fields stored (section 3.1)', () => {
  test('order, case and number as received, less the connection and what is named', () => {
    const head = answer([
      `Date: ${date(0)}`,
      'X-One: 1',
      'Connection: close, x-hop',
      'X-Hop: 2',
      'Keep-Alive: timeout=5',
      'Transfer-Encoding: chunked',
      'Proxy-Authenticate: Basic',
      'Proxy-Authentication-Info: x',
      'Age: 9',
      'x-ONE: 3',
      'X-Mine: 4',
      'ETag: "a"',
    ])
    expect(storedFields(head, ['x-mine'])).toEqual(raw(`Date: ${date(0)}`, 'X-One: 1', 'x-ONE: 3', 'ETag: "a"'))
  })

  test('a missing Date is the time of receipt (RFC 9110 section 6.6.1)', () => {
    expect(storedFields(answer(['ETag: "a"']), [])).toEqual(raw('ETag: "a"', `Date: ${date(0)}`))
  })

  test('fields of no-cache and private are left out', () => {
    const verdict = mayStore(request(), answer(['Cache-Control: max-age=9, no-cache="X-A", private="X-B"']), policy())
    expect(verdict).toMatchObject({ kind: 'store', leaveOut: ['x-a', 'x-b'], meta: { noCache: false } })
  })
})
