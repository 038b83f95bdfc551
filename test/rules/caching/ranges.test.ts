/**
 * Ranges from a complete stored answer (RFC 9110 section 14): exact bytes, exact lengths, and nothing for abuse.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseRange, planRange, type RangePlan, rangeFields } from '../../../src/rules/caching/ranges.ts'
import { asked, date, NOW, raw, stored } from './make.ts'

const META = stored(['Cache-Control: max-age=60', 'ETag: "v1"', `Last-Modified: ${date(-100)}`])
const body = (length: number) => ({ length, contentType: 'image/png', boundary: 'BOUND' })
const plan = (range: string, length = 1000, ...more: string[]) =>
  planRange(asked(`Range: ${range}`, ...more), META, body(length), NOW)

describe('one range (section 14.1.2)', () => {
  test.each([
    ['bytes=0-99', 0, 99],
    ['Bytes=0-99', 0, 99],
    ['bytes=500-', 500, 999],
    ['bytes=-1', 999, 999],
    ['bytes=-5000', 0, 999],
    ['bytes=990-99999', 990, 999],
    ['bytes=990-99999999999999999999999999', 990, 999],
    ['bytes= , 5-5 ,', 5, 5],
    ['bytes=0-4,2000-', 0, 4],
  ])('%s', (range, first, last) => {
    expect(plan(range)).toEqual({
      kind: 'single',
      first,
      last,
      contentRange: `bytes ${first}-${last}/1000`,
      contentLength: last - first + 1,
    })
  })
})

describe('nothing to send (section 15.5.17)', () => {
  test.each(['bytes=1000-', 'bytes=5000-6000', 'bytes=-0', 'bytes=1000-,-0', 'bytes=99999999999999999999-'])(
    '%s',
    (range) => expect(plan(range)).toEqual({ kind: 'unsatisfiable', contentRange: 'bytes */1000' }),
  )
})

describe('ignored (section 14.2)', () => {
  test.each([
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=,',
    'bytes=5-4',
    'bytes=0-1,5-4',
    'bytes=a-b',
    'bytes=0x1-2',
    'bytes=1 - 2',
    'bytes=+1-2',
    'bytes=1.5-2',
    'bytes 0-1',
    'bytes =0-1',
    'lines=0-1',
    'bytes=0-1;2-3',
    `bytes=${Array.from({ length: 17 }, (_, i) => `${i * 10}-${i * 10}`).join(',')}`,
    'bytes=0-,0-,0-,0-',
  ])('%s', (range) => expect(plan(range)).toEqual({ kind: 'whole' }))

  test('an empty representation is sent whole', () => expect(plan('bytes=-5', 0)).toEqual({ kind: 'whole' }))
  test('only a stored 200 has ranges', () => {
    const moved = stored(['Cache-Control: max-age=60'], {}, 404)
    expect(planRange(asked('Range: bytes=0-1'), moved, body(10), NOW).kind).toBe('whole')
  })
  test('without Range there is nothing to plan', () => {
    expect(planRange(asked('If-Range: "v1"'), META, body(10), NOW).kind).toBe('whole')
  })
})

describe('If-Range (section 13.1.5)', () => {
  test.each([
    ['"v1"', 'single'],
    ['"v2"', 'whole'],
    ['W/"v1"', 'whole'],
    ['"v1", "v2"', 'whole'],
    [date(-100), 'single'],
    [date(-99), 'whole'],
    [date(-101), 'whole'],
    ['yesterday', 'whole'],
  ])('%s', (ifRange, kind) => expect(plan('bytes=0-9', 1000, `If-Range: ${ifRange}`).kind).toBe(kind))

  test('a weak tag or a Last-Modified of the same second as Date never holds', () => {
    const weak = stored(['Cache-Control: max-age=60', 'ETag: W/"v1"', `Last-Modified: ${date(0)}`])
    for (const value of ['W/"v1"', '"v1"', date(0)]) {
      expect(planRange(asked('Range: bytes=0-1', `If-Range: ${value}`), weak, body(10), NOW).kind).toBe('whole')
    }
  })
})

/** The bytes that a plan sends of a representation. */
function bytesOf(made: RangePlan, content: string): string {
  switch (made.kind) {
    case 'whole':
      return content
    case 'single':
      return content.slice(made.first, made.last + 1)
    case 'several':
      return made.parts.map(({ head, first, last }) => head + content.slice(first, last + 1)).join('') + made.closing
    case 'unsatisfiable':
      return ''
  }
}

describe('several ranges (section 14.6)', () => {
  const content = Array.from({ length: 1000 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('')

  test('are parts in the order asked for', () => {
    const made = plan('bytes=900-903,0-1,-2') as Extract<RangePlan, { kind: 'several' }>
    expect(made.kind).toBe('several')
    const text = bytesOf(made, content)
    expect(text).toBe(
      ['--BOUND', 'Content-Type: image/png', 'Content-Range: bytes 900-903/1000', '', content.slice(900, 904)]
        .concat(['--BOUND', 'Content-Type: image/png', 'Content-Range: bytes 0-1/1000', '', content.slice(0, 2)])
        .concat(['--BOUND', 'Content-Type: image/png', 'Content-Range: bytes 998-999/1000', '', content.slice(998)])
        .concat(['--BOUND--', ''])
        .join('\r\n'),
    )
    expect(made.contentLength).toBe(text.length)
    expect(made.contentType).toBe('multipart/byteranges; boundary=BOUND')
  })

  test('that overlap or nearly touch become one', () => {
    expect(plan('bytes=0-99,50-149')).toMatchObject({ kind: 'single', first: 0, last: 149 })
    expect(plan('bytes=100-149,0-50')).toMatchObject({ kind: 'single', first: 0, last: 149 })
    expect(plan('bytes=0-0,500-500')).toMatchObject({ kind: 'several' })
  })

  test('every plan is as long as it says, and sends every byte asked for', () => {
    const spec = fc.oneof(
      fc.tuple(fc.nat(1200), fc.nat(300)).map(([first, more]) => `${first}-${first + more}`),
      fc.nat(1200).map((first) => `${first}-`),
      fc.nat(1200).map((suffix) => `-${suffix}`),
    )
    fc.assert(
      fc.property(fc.array(spec, { minLength: 1, maxLength: 6 }), (specs) => {
        const made = plan(`bytes=${specs.join(',')}`)
        const text = bytesOf(made, content)
        if (made.kind === 'single' || made.kind === 'several') expect(text.length).toBe(made.contentLength)
        const sent = made.kind === 'single' ? [made] : made.kind === 'several' ? made.parts : []
        if (made.kind !== 'single' && made.kind !== 'several') return
        for (const wanted of parseRange(`bytes=${specs.join(',')}`) ?? []) {
          const first = 'suffix' in wanted ? Math.max(0, 1000 - wanted.suffix) : wanted.first
          const last = 'suffix' in wanted ? 999 : Math.min(wanted.last ?? 999, 999)
          if (first <= last) expect(sent.some((range) => range.first <= first && last <= range.last)).toBe(true)
        }
      }),
    )
  })

  test('any text is read without an error', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseRange(`bytes=${text}`)))
  })
})

test('the fields of a 206 and of a 416 (sections 15.3.7 and 15.5.17)', () => {
  const fields = raw('Content-Type: image/png', 'Content-Length: 1000', 'ETag: "v1"', 'Vary: Accept')
  const name = (made: RangePlan) => rangeFields(fields, made as Exclude<RangePlan, { kind: 'whole' }>)
  expect(name(plan('bytes=0-9'))).toEqual(
    raw('Content-Type: image/png', 'ETag: "v1"', 'Vary: Accept', 'Content-Range: bytes 0-9/1000', 'Content-Length: 10'),
  )
  const several = plan('bytes=0-9,500-509') as Extract<RangePlan, { kind: 'several' }>
  expect(name(several)).toEqual(
    raw(
      'ETag: "v1"',
      'Vary: Accept',
      'Content-Type: multipart/byteranges; boundary=BOUND',
      `Content-Length: ${several.contentLength}`,
    ),
  )
  expect(name(plan('bytes=5000-'))).toEqual(raw('Vary: Accept', 'Content-Range: bytes */1000', 'Content-Length: 0'))
})
