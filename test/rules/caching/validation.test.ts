/**
 * Validation both ways (RFC 9111 section 4.3), updates of what is stored (section 3.2), and Cache-Status (RFC 9211).
 */
import { describe, expect, test } from 'vitest'
import type { CachePolicySettings } from '../../../src/rules/caching/meta.ts'
import { cacheStatus } from '../../../src/rules/caching/status.ts'
import { storedFields } from '../../../src/rules/caching/storing.ts'
import {
  answerConditional,
  conditionalFields,
  identifyNotModified,
  mergeNotModified,
  notModifiedFields,
  refreshFromHead,
} from '../../../src/rules/caching/validation.ts'
import { answer, asked, at, date, NOW, policy, raw, request, stored } from './make.ts'

const FRESH = 'Cache-Control: max-age=60'

describe('the condition we send (section 4.3.1)', () => {
  const strong = stored([FRESH, 'ETag: "a"', `Last-Modified: ${date(-99)}`])
  const weak = stored([FRESH, 'ETag: W/"b"'])
  const dated = stored([FRESH, `Last-Modified: ${date(-99)}`])
  test.each([
    [[strong], raw('If-None-Match: "a"', `If-Modified-Since: ${date(-99)}`)],
    [[weak], raw('If-None-Match: W/"b"')],
    [[dated], raw(`If-Modified-Since: ${date(-99)}`)],
    [[strong, weak, strong], raw('If-None-Match: "a", W/"b"')],
    [[stored([FRESH])], []],
    [[], []],
  ])('%#', (metas, fields) => expect(conditionalFields(metas)).toEqual(fields))

  test('a Last-Modified that can not be read is not sent back', () => {
    expect(conditionalFields([stored([FRESH, 'Last-Modified: long ago'])])).toEqual([])
  })
})

describe('what a 304 is about (section 4.3.4)', () => {
  const variant = (tag: string, dated = 0) => ({ ...stored([FRESH, `ETag: ${tag}`]), dateMs: at(dated) })
  test.each([
    [['"a"', '"b"'], ['ETag: "b"'], [1]],
    [['"a"', '"a"'], ['ETag: "a"'], [0, 1]],
    [['"a"'], ['ETag: "x"'], []],
    [['W/"a"'], ['ETag: "a"'], []],
    [['"a"'], ['ETag: W/"a"'], [0]],
    [['W/"a"'], ['ETag: W/"a"'], [0]],
    [['"a"'], [], [0]],
    [['"a"', '"b"'], [], []],
    [['"a"'], [`Last-Modified: ${date(-1)}`], []],
  ])('%j stored, 304 with %j', (tags, lines, indexes) =>
    expect(
      identifyNotModified(
        tags.map((tag) => variant(tag)),
        raw(...lines),
      ),
    ).toEqual(indexes),
  )

  test('a weak validator picks the most recent', () => {
    expect(
      identifyNotModified([variant('W/"a"', 5), variant('"a"', 9), variant('W/"a"', 7)], raw('ETag: W/"a"')),
    ).toEqual([1])
  })

  test('Last-Modified identifies where there is no entity tag', () => {
    const dated = stored([FRESH, `Last-Modified: ${date(-99)}`])
    expect(identifyNotModified([dated], raw(`Last-Modified: ${date(-99)}`))).toEqual([0])
    expect(identifyNotModified([dated], raw(`Last-Modified: ${date(-98)}`))).toEqual([])
  })
})

/** An answer with these lines, stored at NOW, and a 304 or HEAD so many seconds later. */
function update(first: string[], second: string[], set: Partial<CachePolicySettings> = {}, asks: string[] = []) {
  const head = answer([`Date: ${date(0)}`, ...first])
  const old = { meta: stored(first, set), rawHeaders: storedFields(head, []) }
  const later = answer(second, { status: 304, requestMs: at(100), responseMs: at(100) })
  return { old, ...mergeNotModified(request(asks), old, later, policy(set)) }
}

describe('a 304 updates what is stored (section 3.2)', () => {
  const first = [FRESH, 'ETag: "a"', 'X-A: 1', 'X-A: 2', 'X-B: 3', 'Content-Length: 5', 'Content-Encoding: gzip']

  test('each field that it has replaces all lines of that field, in their place', () => {
    const { rawHeaders } = update(first, [
      `Date: ${date(100)}`,
      'x-a: 9',
      'X-C: 1',
      'X-C: 2',
      'Cache-Control: max-age=5',
    ])
    expect(rawHeaders).toEqual(
      raw(
        `Date: ${date(100)}`,
        'Cache-Control: max-age=5',
        'ETag: "a"',
        'x-a: 9',
        'X-B: 3',
        'Content-Length: 5',
        'Content-Encoding: gzip',
        'X-C: 1',
        'X-C: 2',
      ),
    )
  })

  test.each([
    'Content-Length: 0',
    'Content-Encoding: identity',
    'Content-Range: bytes 0-1/2',
    'Content-MD5: x',
    'Connection: x-b',
    'X-B: 7',
    'Keep-Alive: x',
    'Transfer-Encoding: chunked',
    'Age: 5',
    'ETag: W/"a"',
  ])('%s changes nothing stored', (line) => {
    const hop = line.startsWith('X-B') ? ['Connection: X-B'] : []
    const { old, rawHeaders, verdict } = update(first, [`Date: ${date(0)}`, line, ...hop])
    expect(rawHeaders).toEqual(old.rawHeaders)
    expect(verdict.kind).toBe('store')
  })

  test('Content-Type, Content-Location, Expires and Vary change', () => {
    const { rawHeaders, verdict } = update(first, ['Content-Type: a/b', 'Vary: Accept'])
    expect(rawHeaders).toEqual(expect.arrayContaining(['Content-Type', 'a/b', 'Vary', 'Accept']))
    expect(verdict).toMatchObject({ meta: { vary: ['accept'] } })
  })

  test('freshness begins anew, from the Date, Age and time of the 304', () => {
    expect(update(first, []).verdict).toMatchObject({
      meta: { bornMs: at(100), freshUntilMs: at(160), status: 200, etag: '"a"' },
    })
    expect(update(first, ['Age: 20']).verdict).toMatchObject({ meta: { bornMs: at(80), freshUntilMs: at(140) } })
    expect(update(first, [`Date: ${date(70)}`]).verdict).toMatchObject({ meta: { bornMs: at(70) } })
  })

  test('without a Date it gets the time of receipt', () => {
    expect(update(first, []).rawHeaders).toEqual(expect.arrayContaining(['Date', date(100)]))
  })

  test.each([
    ['Cache-Control: no-store', 'no-store'],
    ['Cache-Control: private', 'private'],
    ['Vary: *', 'vary'],
  ])('%s ends the storing', (line, why) => expect(update(first, [line]).verdict).toEqual({ kind: 'skip', why }))

  test('an entity tag is added where there was none', () => {
    const { verdict } = update([FRESH, `Last-Modified: ${date(-9)}`], ['ETag: "new"'])
    expect(verdict).toMatchObject({ meta: { etag: '"new"' } })
  })

  test("Set-Cookie is this client's, unless the route stores it", () => {
    const cookie = raw('Set-Cookie: a=1', 'Set-Cookie: b=2')
    const refused = update(first, ['Set-Cookie: a=1', 'Set-Cookie: b=2'])
    expect(refused.forClient).toEqual(cookie)
    expect(refused.rawHeaders).not.toContain('Set-Cookie')
    expect(refused.verdict.kind).toBe('store')
    const kept = update(first, ['Set-Cookie: a=1', 'Set-Cookie: b=2'], { setCookie: 'store' })
    expect(kept.forClient).toEqual([])
    expect(kept.rawHeaders).toEqual(expect.arrayContaining(cookie))
  })

  test('a request with no-store stores nothing of it (section 5.2.1.5)', () => {
    expect(update(first, [], {}, ['Cache-Control: no-store']).verdict).toEqual({
      kind: 'skip',
      why: 'request-no-store',
    })
  })
})

describe('HEAD and the stored GET (section 4.3.5)', () => {
  const first = [FRESH, 'ETag: "a"', `Last-Modified: ${date(-9)}`]
  const old = { meta: stored(first), rawHeaders: storedFields(answer(first), []), bodyLength: 5 }
  const effect = (lines: string[], status = 200) =>
    refreshFromHead(request(), old, answer(lines, { status }), policy()).kind
  test.each([
    [['ETag: "a"', `Last-Modified: ${date(-9)}`, 'Content-Length: 5'], 200, 'update'],
    [['Content-Length: 5'], 200, 'update'],
    [[], 200, 'update'],
    [['ETag: "b"'], 200, 'stale'],
    [['ETag: W/"a"'], 200, 'stale'],
    [['ETag: "a"', 'ETag: "a"'], 200, 'stale'],
    [[`Last-Modified: ${date(-8)}`], 200, 'stale'],
    [['ETag: "a"', 'Content-Length: 6'], 200, 'stale'],
    [['ETag: "b"'], 404, 'keep'],
    [['ETag: "b"'], 304, 'keep'],
  ])('%j, %i: %s', (lines, status, kind) => expect(effect(lines, status)).toBe(kind))

  test('where they agree its fields replace the stored ones', () => {
    const made = refreshFromHead(
      request([], { method: 'HEAD' }),
      old,
      answer(['Cache-Control: max-age=7', 'X: 1']),
      policy(),
    )
    expect(made).toMatchObject({ kind: 'update', updated: { verdict: { meta: { freshUntilMs: at(7) } } } })
  })
})

describe("the client's condition (section 4.3.2)", () => {
  const tagged = stored([FRESH, 'ETag: "a"', `Last-Modified: ${date(-100)}`])
  const weak = stored([FRESH, 'ETag: W/"a"'])
  const conditional = (lines: string[], meta = tagged) => answerConditional(asked(...lines), meta, NOW)
  test.each([
    ['"a"', 'not-modified'],
    ['W/"a"', 'not-modified'],
    ['"x", "a"', 'not-modified'],
    ['"x","a"', 'not-modified'],
    ['"x" ,\t"a" ,', 'not-modified'],
    ['"x,y", "a"', 'not-modified'],
    ['*', 'not-modified'],
    ['junk, "a"', 'not-modified'],
    ['"b"', 'full'],
    ['"A"', 'full'],
    ['a', 'full'],
    ["'a'", 'full'],
    ['w/"a"', 'full'],
    ['"a" junk', 'full'],
    ['"x, "a"', 'full'],
    ['"*"', 'full'],
    ['"b", *', 'full'],
    ['', 'full'],
  ])('If-None-Match: %s: %s', (value, expected) => expect(conditional([`If-None-Match: ${value}`])).toBe(expected))

  test.each([
    [date(-100), 'not-modified'],
    [date(-99), 'not-modified'],
    [date(0), 'not-modified'],
    [date(-101), 'full'],
    ['junk', 'full'],
    [`${date(0)}, ${date(0)}`, 'full'],
  ])('If-Modified-Since: %s: %s', (value, expected) =>
    expect(conditional([`If-Modified-Since: ${value}`])).toBe(expected),
  )

  test('several lines are one list', () => {
    expect(conditional(['If-None-Match: "x"', 'If-None-Match: "a"'])).toBe('not-modified')
  })

  test('weak comparison for a weak stored tag', () => {
    expect(conditional(['If-None-Match: "a"'], weak)).toBe('not-modified')
  })

  test('If-None-Match overrules If-Modified-Since (RFC 9110 section 13.2.2)', () => {
    expect(conditional(['If-None-Match: "b"', `If-Modified-Since: ${date(0)}`])).toBe('full')
  })

  test('without a Last-Modified the Date counts', () => {
    expect(conditional([`If-Modified-Since: ${date(0)}`], weak)).toBe('not-modified')
    expect(conditional([`If-Modified-Since: ${date(-1)}`], weak)).toBe('full')
  })

  test('only a stored 200 is compared', () => {
    expect(conditional(['If-None-Match: "a"'], stored([FRESH, 'ETag: "a"'], {}, 404))).toBe('full')
  })

  test('no condition, no 304', () => expect(conditional([])).toBe('full'))

  test('a 304 carries what RFC 9110 section 15.4.5 asks for, and nothing of the content', () => {
    const lines = [
      'ETag: "a"',
      FRESH,
      'Content-Type: x/y',
      'Content-Length: 5',
      'Vary: a',
      `Last-Modified: ${date(-100)}`,
    ]
    expect(notModifiedFields({ meta: tagged, rawHeaders: raw(...lines, 'Content-Location: /x', 'X: 1') })).toEqual(
      raw('ETag: "a"', FRESH, 'Vary: a', 'Content-Location: /x', 'X: 1'),
    )
    const untagged = stored([FRESH, `Last-Modified: ${date(-100)}`])
    expect(notModifiedFields({ meta: untagged, rawHeaders: raw(`Last-Modified: ${date(-100)}`) })).toHaveLength(2)
  })
})

test('a long list of malformed tags costs no more than its length', () => {
  for (const unit of ['"', '",', 'a,', '"a', ' ', 'W/"']) {
    answerConditional(asked(`If-None-Match: x${unit.repeat(50_000)}`), stored([FRESH, 'ETag: "a"']), NOW)
  }
})

describe('Cache-Status (RFC 9211)', () => {
  test.each([
    [
      cacheStatus({ kind: 'hit' }, { ttl: 30, key: 'GET http://a/"b"' }),
      'banyan;hit;ttl=30;key="GET http://a/\\"b\\""',
    ],
    [cacheStatus({ kind: 'hit' }, { ttl: -5, detail: 'max-stale' }), 'banyan;hit;ttl=-5;detail=max-stale'],
    [cacheStatus({ kind: 'forward', reason: 'uri-miss', stored: true }), 'banyan;fwd=uri-miss;stored'],
    [
      cacheStatus(
        { kind: 'forward', reason: 'stale', forwardStatus: 304, stored: false, collapsed: true },
        { detail: 'expired' },
      ),
      'banyan;fwd=stale;fwd-status=304;collapsed;detail=expired',
    ],
  ])('%s', (line, expected) => expect(line).toBe(expected))
})
