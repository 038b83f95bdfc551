/**
 * When an endpoint has ended, what is refused before, and how it is announced.
 */
import { expect, test } from 'vitest'
import {
  announced,
  compileRetirement,
  flawOfLink,
  flawOfRetirement,
  parseTime,
  refusedNow,
} from '../../../src/rules/retirement/retirement.ts'

const T = Date.UTC(2027, 2, 1, 9)

test.each<[string, number | null]>([
  ['2027-03-01', Date.UTC(2027, 2, 1)],
  ['2027-03-01T09:00:00Z', T],
  ['2027-03-01T09:00Z', T],
  ['2027-03-01T10:00:00+01:00', T],
  ['2027-03-01T03:30:00-05:30', T],
  ['2028-02-29', Date.UTC(2028, 1, 29)],
  ...[
    '2027-02-29',
    '2027-13-01',
    '2027-03-01T24:00:00Z',
    '2027-03-01T09:00:00',
    '01.03.2027',
    '2027-3-1',
    'soon',
    '',
  ].map((text): [string, null] => [text, null]),
  ['2027-03-01T09:00:00+25:00', null],
  ['0001-01-01', null],
])('time %s', (text, ms) => {
  expect(parseTime(text)).toBe(ms)
})

test('ends at its sunset, at once with a status alone, and never with announcements alone', () => {
  const refused = (said: Parameters<typeof compileRetirement>[0], nowMs: number) =>
    refusedNow(compileRetirement(said), nowMs, 0.5)
  const sunset = '2027-03-01T09:00:00Z'
  expect(refused({ sunset }, T - 1)).toBeNull()
  expect(refused({ sunset }, T)).toEqual({ kind: 'ended', status: 410, againMs: null })
  expect(refused({ sunset, status: 404 }, T - 1)).toBeNull()
  expect(refused({ sunset, status: 404 }, T)?.status).toBe(404)
  expect(refused({ status: 410 }, 0)?.kind).toBe('ended')
  expect(refused({ deprecated: '2020-01-01', link: 'https://a.test/' }, T)).toBeNull()
})

test('a brownout refuses its share of the requests for its time', () => {
  const brownouts = [{ at: '2027-03-01T09:00:00Z', for: '1h', percent: 25 }] as const
  const retirement = compileRetirement({ brownouts })
  const share = (nowMs: number): number => {
    let count = 0
    for (let i = 0; i < 10_000; i++) if (refusedNow(retirement, nowMs, (i * 0.618_033_988_749) % 1) !== null) count++
    return count / 10_000
  }
  expect(share(T - 1)).toBe(0)
  expect(share(T)).toBeCloseTo(0.25, 1)
  expect(share(T + 3_599_999)).toBeCloseTo(0.25, 1)
  expect(share(T + 3_600_000)).toBe(0)
  const whole = compileRetirement({ brownouts: [{ at: '2027-03-01T09:00:00Z', for: '1h', status: 410 }] })
  for (const chance of [0, 0.3, 0.999_999]) {
    expect(refusedNow(whole, T, chance)).toEqual({ kind: 'brownout', status: 410, againMs: T + 3_600_000 })
  }
})

test('a brownout takes no more of the one side of the draw than of the other', () => {
  const retirement = compileRetirement({ brownouts: [{ at: '2027-03-01', for: '1d', percent: 50 }] })
  const within = Array.from({ length: 20_000 }, (_, i) => ((i * 0.618_033_988_749) % 1) * 0.05)
  const refused = within.filter((chance) => refusedNow(retirement, T, chance) !== null).length
  expect(refused / within.length).toBeCloseTo(0.5, 1)
})

test('the fields of RFC 9745, RFC 8594 and RFC 8288 take the place of the upstream’s own', () => {
  const retirement = compileRetirement({
    ...{ deprecated: '2027-01-01', sunset: '2027-03-01T09:00:00Z', link: 'https://a.test/moved?x=1' },
  })
  const fields = ['Content-Type', 'text/html', 'sunset', 'never', 'Link', '</a>; rel=next', 'Deprecation', 'true']
  expect(announced(fields, retirement)).toEqual([
    ...['Content-Type', 'text/html', 'Link', '</a>; rel=next'],
    ...['Deprecation', '@1798761600', 'Sunset', 'Mon, 01 Mar 2027 09:00:00 GMT'],
    ...['Link', '<https://a.test/moved?x=1>; rel="deprecation sunset"'],
  ])
  const silent = compileRetirement({ status: 410 })
  expect(announced(fields, silent)).toBe(fields)
})

test('what is refused', () => {
  expect(flawOfRetirement({})?.message).toBe('expected status, sunset, deprecated or brownouts')
  expect(flawOfRetirement({ link: 'https://a.test/' })).not.toBeNull()
  expect(flawOfRetirement({ deprecated: '2027-03-02', sunset: '2027-03-01' })?.message).toMatch(/is before deprecated/)
  for (const link of ['https://a.test/x', 'http://a.test', 'https://a.test/?a=b,c;d'])
    expect(flawOfLink(link)).toBeNull()
  for (const link of [
    'ftp://a.test',
    '/moved',
    'https://',
    'https://a.test/> ; rel=x',
    'https://a.test/\r\nX: y',
    'https://a.test/é',
  ])
    expect(flawOfLink(link), link).not.toBeNull()
})
