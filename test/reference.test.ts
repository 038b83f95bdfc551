/**
 * docs/reference/ against the code and a running proxy: every metric, log field, event, reason, failure and setting is there, and nothing else.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Exchange } from '../src/proxy/exchange.ts'
import { logFields } from '../src/proxy/observe.ts'
import { FAILURES } from '../src/rules/failures/failure.ts'
import { settingsFlags } from '../src/settings/settings.ts'
import { REASONS } from '../src/state/figures/cell.ts'
import { metricsIn } from './deploy/promql.ts'
import { startBanyan } from './support/banyan.ts'
import { tlsFlags } from './support/certificates.ts'
import { freePort } from './support/free-port.ts'
import { startRedis } from './support/redis.ts'
import { scriptedUpstream } from './support/upstream.ts'

const ROOT = join(import.meta.dirname, '..')
const page = (name: string): string => readFileSync(join(ROOT, 'docs/reference', name), 'utf8')

/** The rows of the tables of a page, or of one of its sections: the cells of each, without the code marks of the first. */
function rowsOf(text: string, heading?: string): string[][] {
  const section =
    heading === undefined ? text : (text.split(/^#+ /m).find((one) => one.startsWith(`${heading}\n`)) ?? '')
  return [...section.matchAll(/^\| `([^`]+)` \|(.*)\|$/gm)].map(([, first, rest]) => [
    first as string,
    ...(rest as string).split(/(?<!\\)\|/).map((cell) => cell.trim()),
  ])
}

const firstsOf = (rows: readonly string[][]): string[] => rows.map(([first]) => first as string)

describe('metrics.md', () => {
  const rows = rowsOf(page('metrics.md'), 'All metrics')
  const ends: (() => Promise<unknown>)[] = []
  let scrape: string

  beforeAll(async () => {
    const redis = await startRedis()
    const upstream = await scriptedUpstream((request) => request.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
    const dead = await freePort()
    const tls = tlsFlags()
    const banyan = await startBanyan({
      table: `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${upstream.port}] }
  gtin: { servers: [http://127.0.0.1:${upstream.port}], health: { path: /health, every: 1s } }
  dead: { servers: [http://127.0.0.1:${dead}] }
default: legacy
routes:
  - { id: gtin-lookup, match: { path: "/gtins/:gtin" }, to: gtin, percent: 100, cache: { ttl: 60s }, shadow: { percent: 100, sides: both } }
  - { id: broken, match: { path: /broken }, to: dead, percent: 100 }
  - { id: falls, match: { path: /falls }, to: dead, percent: 100, fallback: {} }
  - { id: ramped, match: { path: /ramped }, to: gtin, ramp: {} }
`,
      args: [
        '--workers',
        '1',
        '--redis',
        redis.url,
        '--cluster',
        'reference',
        ...tls.flags,
        '--acme',
        'shop.test',
        '--acme-directory',
        `http://127.0.0.1:${dead}/`,
        ...['--webhook', `http://127.0.0.1:${dead}/`, '--webhook-secret', 'a secret of some length'],
      ],
    })
    ends.push(
      () => banyan.stop(),
      () => redis.stop(),
      () => upstream.stop(),
      async () => tls.remove(),
    )
    const ask = async (path: string, headers: Record<string, string> = {}): Promise<void> =>
      void (await (await fetch(`http://127.0.0.1:${banyan.port}${path}`, { headers })).text())
    // It speaks no TLS, which is counted.
    await fetch(`http://127.0.0.1:${banyan.tlsPort}/`)
    for (const path of ['/', '/broken', '/falls', '/gtins/1', `/${'x'.repeat(20_000)}`]) await ask(path)
    await ask('/gtins/2', { 'cache-control': 'no-store' })
    await ask('/gtins/3', { range: 'bytes=0-1' })
    await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/ramped/ramp/start`, { method: 'POST' })
    // On a busy machine a worker's figures come with a later scrape.
    const scrapeNow = async () => (await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`)).text()
    await vi.waitFor(async () => expect((scrape = await scrapeNow())).toContain('banyan_redis_hits_total'), {
      timeout: 120_000,
    })
  })

  afterAll(async () => {
    for (const end of ends) await end()
  })

  test('lists every metric with its type', () => {
    const types = [...scrape.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type])
    expect(rows.map(([name, type]) => [name, type]).toSorted()).toEqual(types.toSorted())
  })

  test('lists the labels of each metric', () => {
    const scraped = metricsIn(scrape)
    const told = rows.map(([name, type, labels]) => {
      const series = type === 'histogram' ? `${name}_count` : (name as string)
      const has = scraped.get(series)
      expect(has, `${name} has no sample: ask for what makes one`).toBeDefined()
      return [`${name} ${labels}`, `${name} ${[...(has ?? [])].join(', ')}`]
    })
    expect(told.map(([said]) => said)).toEqual(told.map(([, has]) => has))
  })

  test('explains every label', () => {
    const labels = new Set(rows.flatMap(([, , names]) => (names ?? '').split(', ')).filter((name) => name !== ''))
    // Those of one metric are explained in its row.
    for (const name of ['result', 'to', 'version']) labels.delete(name)
    expect(firstsOf(rowsOf(page('metrics.md'), 'Labels')).toSorted()).toEqual([...labels, 'le'].toSorted())
  })
})

describe('logs.md', () => {
  const text = page('logs.md')

  test('lists the fields of an access-log line, in their order', () => {
    const exchange = {
      view: {},
      answer: {},
      decision: {},
      revision: {},
      retries: 1,
      fallbackOn: 'connect',
      failedCause: new Error('refused'),
      trace: { traceId: '1' },
      failure: 'connect',
      cause: new Error('refused'),
    } as unknown as Exchange
    expect(firstsOf(rowsOf(text, 'Access log'))).toEqual(['level', 'time', ...Object.keys(logFields(exchange, 1))])
  })

  test('lists the reasons and the failures, these with status and fault', () => {
    expect(firstsOf(rowsOf(text, 'Reasons')).toSorted()).toEqual([...REASONS].toSorted())
    const failures = Object.entries(FAILURES).map(([code, { status, culprit }]) =>
      [code, status || '-', culprit].join(),
    )
    expect(rowsOf(text, 'Failures').map((row) => row.slice(0, 3).join())).toEqual(failures)
  })

  test('lists every event with the fields that the code names', () => {
    const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => readFileSync(join(ROOT, 'src', file), 'utf8'))
    const fields = new Map<string, Set<string>>()
    for (const [, event, rest] of sources.join('\n').matchAll(/event: '([\w-]+)'([^}]*)\}/g)) {
      const known = fields.get(event as string) ?? new Set()
      for (const [, name] of (rest as string).matchAll(/, *(\w+)(?=[:,\s]|$)/g)) known.add(name as string)
      fields.set(event as string, known)
    }
    const rows = rowsOf(text, 'Other lines')
    expect(firstsOf(rows).toSorted()).toEqual([...fields.keys()].toSorted())
    const missing = rows.flatMap(([event, named]) =>
      [...(fields.get(event as string) ?? [])]
        .filter((name) => !(named as string).split(/[,;] /).includes(name))
        .map((name) => `${event}: ${name}`),
    )
    expect(missing).toEqual([])
  })
})

test('settings.md lists every flag with its variable and its default, in the order of --help', () => {
  const flags = Object.entries(settingsFlags()).map(([name, { value, fallback }]) => {
    const variable = `BANYAN_${name.toUpperCase().replaceAll('-', '_')}`
    const flag = `--${name} ${value}`.trim().replaceAll('|', '\\|')
    return [flag, `\`${variable}\``, fallback === '' || fallback === 'false' ? 'none' : `\`${fallback}\``].join(' ')
  })
  expect(rowsOf(page('settings.md')).map((row) => row.slice(0, 3).join(' '))).toEqual(flags)
})
