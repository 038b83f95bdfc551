/**
 * The access log: its lines are JSON whatever a request holds, and what becomes of them harms no request.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { accessLine, exchangeLine, LineBatch } from '../../src/logging/access-lines.ts'
import { LineFile } from '../../src/logging/outputs.ts'
import type { Exchange } from '../../src/proxy/exchange.ts'
import { logFields } from '../../src/proxy/observe.ts'
import { escapedJson } from '../../src/rules/values/unprintable.ts'
import { startBanyan } from '../support/banyan.ts'
import { rawClient } from '../support/client.ts'

const TABLE = 'version: 1\nupstreams:\n  main: { servers: [http://127.0.0.1:1] }\ndefault: main\n'
const folder = mkdtempSync(join(tmpdir(), 'banyan-access-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('a line', () => {
  const name = fc.stringMatching(/^[a-z][A-Za-z]{0,11}$/).filter((text) => text !== 'level' && text !== 'time')
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({
      unit: fc.constantFrom('"', '\\', '\n', '\u0000', '\x1f', ' ', '\x7f', '\xe9', '\u2028', '\ud800', 'a'),
    }),
  )
  const value = fc.oneof(text, fc.double(), fc.integer(), fc.constant(null), fc.boolean(), fc.constant(undefined))

  test('is what JSON.stringify says of the same fields, and one line', () => {
    fc.assert(
      fc.property(fc.dictionary(name, value), (fields) => {
        const line = accessLine('2026-01-02T03:04:05.678Z', fields)
        expect(line.indexOf('\n')).toBe(line.length - 1)
        const said = JSON.stringify({ level: 30, time: '2026-01-02T03:04:05.678Z', ...fields })
        expect(line).toBe(`${escapedJson(said)}\n`)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('the line of an exchange', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('gtin', '"', '\ud800'))
  const count = fc.nat(2 ** 40)
  const exchange = fc.record({
    id: fc.stringMatching(/^[a-z0-9]{6}-[a-z0-9]{1,8}$/),
    view: fc.record({ method: text, host: text, target: text, clientAddress: text }),
    answer: fc.record({ status: fc.integer({ min: 0, max: 999 }), bodyBytes: count }),
    decision: fc.record({
      routeId: fc.option(text),
      upstream: text,
      bucket: fc.option(fc.double({ min: 0, max: 100, maxExcluded: true, noNaN: true })),
      percent: fc.option(fc.integer({ min: 0, max: 1_000_000 }).map((parts) => parts / 10_000)),
      reason: fc.constantFrom('default', 'percent', 'fallback'),
    }),
    revision: fc.record({ number: count }),
    requestBytes: count,
    server: fc.option(text),
    cache: fc.constantFrom('-', 'hit'),
    retries: fc.nat(2),
    fallbackOn: fc.option(text),
    failedServer: fc.option(text),
    failedCause: fc.option(text.map((message) => new Error(message))),
    trace: fc.option(fc.constant({ traceId: 'a'.repeat(32) })),
    shadow: fc.option(fc.constantFrom('match', 'mismatch')),
    failure: fc.option(fc.constantFrom('connect', 'deadline')),
    cause: fc.option(text.map((message) => new Error(message))),
  })
  const duration = fc.oneof(
    fc.double({ min: 0, max: 1e7, noNaN: true }),
    fc.constantFrom(0, 0.0004, 0.9996, 1, 9.99951),
  )

  test('says what its fields say, in their order', () => {
    fc.assert(
      fc.property(exchange, duration, (each, durationMs) => {
        const one = each as unknown as Exchange
        const line = exchangeLine('2026-01-02T03:04:05.678Z', one, durationMs)
        const fields = JSON.parse(accessLine('2026-01-02T03:04:05.678Z', logFields(one, durationMs)))
        expect(line.indexOf('\n')).toBe(line.length - 1)
        expect(Object.entries(JSON.parse(line))).toEqual(Object.entries(fields))
      }),
      { numRuns: 2000 },
    )
  })
})

describe('batches', () => {
  test('every line arrives once and in order, the last ones with the flush', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1, maxLength: 30_000, unit: 'grapheme' }), { maxLength: 30 }),
        (lines) => {
          const batches: string[] = []
          const batch = new LineBatch((bytes) => batches.push(bytes.toString()))
          for (const line of lines) batch.add(line)
          batch.flush()
          batch.flush()
          expect(batches.join('')).toBe(lines.join(''))
          expect(batches.every((text) => text !== '')).toBe(true)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('a file is appended to', () => {
    const path = join(folder, 'appended')
    for (const line of ['a\n', 'b \u00e9\n']) {
      new LineFile(path, (error) => {
        throw error
      }).write(Buffer.from(line))
    }
    expect(readFileSync(path, 'utf8')).toBe('a\nb \u00e9\n')
  })
})

test('a file that was moved away is opened anew, and one that can not be goes on', () => {
  const path = join(folder, 'rotated')
  const faults: (string | undefined)[] = []
  const file = new LineFile(path, ({ code }) => faults.push(code))
  file.write(Buffer.from('a\n'))
  renameSync(path, `${path}.1`)
  file.write(Buffer.from('b\n'))
  file.reopen()
  file.write(Buffer.from('c\n'))
  expect([readFileSync(`${path}.1`, 'utf8'), readFileSync(path, 'utf8')]).toEqual(['a\nb\n', 'c\n'])
  rmSync(path)
  mkdirSync(path)
  file.reopen()
  expect(faults).toEqual(['EISDIR'])
})

describe.skipIf(!existsSync('/dev/full'))('a full disk', () => {
  const full = join(folder, 'full')

  test('is told once, and throws nothing', () => {
    if (!existsSync(full)) symlinkSync('/dev/full', full)
    const faults: (string | undefined)[] = []
    const file = new LineFile(full, ({ code }) => faults.push(code))
    file.write(Buffer.from('a\n'))
    file.write(Buffer.from('b\n'))
    expect(faults).toEqual(['ENOSPC'])
  })

  test('ends neither the proxy nor a request', async () => {
    if (!existsSync(full)) symlinkSync('/dev/full', full)
    const running = await startBanyan({ table: TABLE, args: ['--access-log', full] })
    expect((await fetch(`http://127.0.0.1:${running.port}/a`)).status).toBe(502)
    const told = JSON.parse(await running.program.line((line) => line.includes('"access-log"')))
    expect(told).toMatchObject({ level: 50, event: 'access-log', code: 'ENOSPC' })
    expect((await fetch(`http://127.0.0.1:${running.port}/b`)).status).toBe(502)
    expect(await running.stop()).toBe(0)
  })
})

test('what a client sends breaks no line', async () => {
  const file = join(folder, 'odd.log')
  const running = await startBanyan({ table: TABLE, args: ['--access-log', file] })
  const client = await rawClient(running.port)
  expect((await client.ask('GET /"\\{}?%0A HTTP/1.1\r\nHost: x.test\r\n\r\n')).status).toBe(502)
  expect(await running.stop()).toBe(0)
  const lines = readFileSync(file, 'utf8').trim().split('\n')
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ target: '/"\\{}?%0A', host: 'x.test', status: 502 }])
})
