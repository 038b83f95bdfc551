/**
 * The small parts: latency, clocks, units; odd answers and faults on the wire; and the README, which lists every endpoint.
 */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { netscapeDate } from '../../legacy-mock/clock.ts'
import { ENDPOINTS } from '../../legacy-mock/endpoints.ts'
import { logNormal, NO_LATENCY } from '../../legacy-mock/latency.ts'
import { formatDay, parseCount, parseDay, parseDurationMs } from '../../legacy-mock/units.ts'
import { ask, exchange, get, serve, wire } from './raw.ts'

describe('latency', () => {
  test('has the median asked for, a tail, and the same sequence for the same seed', () => {
    const draw = (seed: number) => {
      const latency = logNormal(40, seed)
      return Array.from({ length: 20_001 }, () => latency())
    }
    const sorted = draw(7).sort((a, b) => a - b)
    expect(sorted[10_000]).toBeCloseTo(40, -0.5)
    expect(sorted[19_800]! / sorted[10_000]!).toBeGreaterThan(3)
    expect(sorted.at(-1)).toBeLessThanOrEqual(800)
    expect(draw(7)).toEqual(draw(7))
    expect(draw(7)).not.toEqual(draw(8))
    expect(logNormal(0, 1)).toBe(NO_LATENCY)
  })
})

describe('units', () => {
  test.each([
    ['250ms', 250],
    ['1.5s', 1_500],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['5', null],
    ['-1s', null],
    ['s', null],
    ['30d', null],
  ])('%s is %s ms', (text, ms) => expect(parseDurationMs(text)).toBe(ms))
  test.each([
    ['0', 0],
    ['18000000', 18_000_000],
    ['', null],
    ['1e3', null],
    ['-1', null],
  ])('%j counts %s', (text, count) => expect(parseCount(text)).toBe(count))
  test('days are read as they are written', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 40_000 }), (day) => parseDay(formatDay(day)) === day))
    for (const text of ['2026-02-30', '2026-1-1', '', 'today']) expect(parseDay(text)).toBeNull()
  })
  test('old cookies have old dates', () => {
    expect(netscapeDate(Date.UTC(2027, 5, 9, 10, 18, 14))).toBe('Wed, 09-Jun-2027 10:18:14 GMT')
  })
})

describe('odd answers', () => {
  test('go out byte for byte', async () => {
    const { port } = await serve()
    expect(await exchange(port, get('/odd/latin1'))).toContain('\r\nX-Store-Name: Caf\xe9 Z\xfcrich \xa9\r\n')
    expect(await exchange(port, get('/odd/case'))).toContain(
      '\r\nx-lower: a\r\nX-UPPER: b\r\nx-MiXeD-cAsE: c\r\nETAG: "odd"\r\n',
    )
    expect(await exchange(port, get('/odd/reason'))).toMatch(/^HTTP\/1\.1 200 Alles in Ordnung, danke\r\n/)
    expect(await exchange(port, get('/odd/no-reason'))).toMatch(/^HTTP\/1\.1 200 \r\n/)
    expect(await exchange(port, get('/odd/http10'))).toMatch(/^HTTP\/1\.0 200 OK\r\n/)
    expect(await exchange(port, get('/odd/empty'))).toContain('\r\nX-Empty: \r\n')
    const { fields } = await ask(port, get('/odd/duplicates'))
    expect(fields.filter(([name]) => /^x-trace$/i.test(name))).toEqual([
      ['X-Trace', '1'],
      ['x-trace', '2'],
      ['X-Trace', '1'],
    ])
  })
})

describe('faults', () => {
  test.each([
    ['/faults/reset', true],
    ['/faults/reset-body', true],
    ['/faults/close', false],
    ['/faults/close-body', false],
  ])('%s resets the connection: %s', async (path, reset) => {
    const { port } = await serve()
    const broken = wire(port, get(path))
    await broken.end()
    expect(broken.wasReset()).toBe(reset)
  })

  test('fail with the status asked for, and refuse what makes no sense', async () => {
    const { port } = await serve()
    expect(await ask(port, get('/faults/status/503'))).toMatchObject({ status: 503, complete: true })
    expect((await ask(port, get('/faults/processing?times=2&every=1ms'))).interim).toHaveLength(2)
    for (const path of [
      '/faults/status/200',
      '/faults/hang?delay=x',
      '/faults/close-body?framing=none',
      '/odd/status/99',
    ]) {
      expect((await ask(port, get(path))).status).toBe(400)
    }
  })
})

test('the README shows a curl for every endpoint', () => {
  const readme = readFileSync(new URL('../../legacy-mock/README.md', import.meta.url), 'utf8')
  const curls = readme.split('\n').filter((line) => line.startsWith('curl '))
  for (const { name, path } of ENDPOINTS) {
    const shown = path === '*' ? '--request-target' : path.replace(/[?"'].*/, '')
    expect(
      curls.some((line) => line.includes(shown)),
      name,
    ).toBe(true)
  }
})
