/**
 * deploy/grafana/ and deploy/prometheus/: every metric and label that they ask for is in a real scrape, and the stack of
 * deploy/compose.yaml brings the two together.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { Data } from '../../gtin-service/data.ts'
import { startGtinService } from '../../gtin-service/service.ts'
import { findProgram } from '../../scripts/need-tools.ts'
import { startBanyan } from '../support/banyan.ts'
import { tlsFlags } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { gtinData } from '../support/gtin-data.ts'
import { startRedis } from '../support/redis.ts'
import { scriptedUpstream } from '../support/upstream.ts'
import { durationMs, PROJECT, textOf, yamlOf } from './project.ts'
import { metricsIn, readExpression } from './promql.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description?: string }
}

interface Panel {
  readonly title: string
  readonly id: number
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const dashboard = JSON.parse(textOf('deploy/grafana/banyan.json')) as {
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr: string }[] }
  readonly templating: { readonly list: readonly { readonly query: string }[] }
}
const { groups } = yamlOf('deploy/prometheus/alerts.yml') as { groups: readonly { name: string; rules: Rule[] }[] }
const rules = groups.flatMap((group) => group.rules)

/** Every expression, with where it stands. Grafana's own variables become what Grafana would put there. */
const expressions: readonly (readonly [where: string, expression: string])[] = [
  ...dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const)),
  ...dashboard.annotations.list.map(({ name, expr }) => [name, expr] as const),
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
].map(([where, expr]) => [where, expr.replaceAll('$__rate_interval', '1m')])

/** What Prometheus adds to every sample, and the one metric that it makes itself. */
const ADDED_LABELS = ['job', 'instance', 'le']
const OF_PROMETHEUS = new Map([['up', new Set<string>()]])

const TOKEN = 'a-token-that-may-read'
const ends: (() => Promise<unknown>)[] = []
let scraped: Map<string, Set<string>>

beforeAll(async () => {
  const redis = await startRedis()
  const upstream = await scriptedUpstream((request) => request.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
  const dead = await freePort()
  const tls = tlsFlags()
  const banyan = await startBanyan({
    table: `version: 1
upstreams:
  legacy: { servers: [http://127.0.0.1:${upstream.port}] }
  gtin:
    servers: [http://127.0.0.1:${upstream.port}, http://127.0.0.1:${dead}]
    health: { path: /health, every: 1s }
  dead: { servers: [http://127.0.0.1:${dead}] }
default: legacy
routes:
  - { id: gtin-lookup, match: { path: "/gtins/:gtin" }, to: gtin, percent: 100, cache: { ttl: 60s }, ramp: {}, shadow: { percent: 100, sides: both } }
  - { id: broken, match: { path: /broken }, to: dead, percent: 100 }
  - { id: falls, match: { path: /falls }, to: dead, percent: 100, fallback: {} }
`,
    args: [
      ...[
        '--workers',
        '1',
        '--redis',
        redis.url,
        '--cluster',
        'monitored',
        '--admin-tokens',
        `prometheus:read:${TOKEN}`,
      ],
      ...[...tls.flags, '--acme', 'shop.test', '--acme-directory', `http://127.0.0.1:${dead}/`],
      ...['--webhook', `http://127.0.0.1:${dead}/`, '--webhook-secret', 'a secret of some length'],
    ],
  })
  ends.push(
    () => banyan.stop(),
    () => redis.stop(),
    () => upstream.stop(),
    async () => tls.remove(),
  )
  const ask = async (path: string): Promise<void> =>
    void (await (await fetch(`http://127.0.0.1:${banyan.port}${path}`)).text())
  // It speaks no TLS, which is counted.
  await fetch(`http://127.0.0.1:${banyan.tlsPort}/`)
  // Every other server is tried first: of two exchanges one meets the dead server, and is made again at the other.
  for (const path of ['/', '/broken', '/falls', '/gtins/1', '/gtins/2', '/gtins/3', '/gtins/1']) await ask(path)
  await fetch(`http://127.0.0.1:${banyan.port}/gtins/4`, { headers: { range: 'bytes=0-0' } })
  // Comparisons are told with the worker's next figures.
  const text = await vi.waitFor(
    async () => {
      const answer = await fetch(`http://127.0.0.1:${banyan.adminPort}/metrics`, {
        headers: { authorization: `Bearer ${TOKEN}` },
      })
      expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
      const told = await answer.text()
      expect(told).toMatch(/^banyan_shadow_comparisons_total\{(.|\n)*^banyan_shadow_skipped_total\{/m)
      return told
    },
    { timeout: 120_000 },
  )
  const { folder, remove } = gtinData()
  const source = new Data({ folder })
  const service = await startGtinService({ source })
  ends.push(
    () => service.close(),
    async () => remove(),
  )
  const told = await fetch(`${service.url}/metrics`)
  scraped = metricsIn(`${text}\n${await told.text()}`)
})

afterAll(async () => {
  for (const end of ends) await end()
})

test.each(expressions)('%s asks for what banyan tells', (_, expression) => {
  const { asked, grouping } = readExpression(expression)
  expect(asked).not.toEqual([])
  const known = new Set(ADDED_LABELS)
  for (const { metric, labels } of asked) {
    const has = scraped.get(metric) ?? OF_PROMETHEUS.get(metric)
    expect(has, metric).toBeDefined()
    for (const label of has ?? []) known.add(label)
    for (const label of labels) expect([...(has ?? []), ...ADDED_LABELS], metric).toContain(label)
  }
  for (const label of grouping) expect([...known]).toContain(label)
})

test('the legend of a panel names labels that its answer has', () => {
  for (const { title, targets = [] } of dashboard.panels) {
    for (const { expr, legendFormat } of targets) {
      const { asked, grouping } = readExpression(expr.replaceAll('$__rate_interval', '1m'))
      const own = asked.flatMap(({ metric }) => [...(scraped.get(metric) ?? [])])
      // Of what is added up, only the labels that it is added up by are left.
      const labels = grouping.length > 0 ? grouping : [...own, ...ADDED_LABELS]
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) expect(labels, title).toContain(label)
    }
  }
})

test('the variable of the dashboard is a label of a metric', () => {
  const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(dashboard.templating.list[1]?.query ?? '') ?? []
  expect(scraped.get(metric as string)).toContain(label)
})

test('panels have numbers and places of their own', () => {
  const { panels } = dashboard
  expect(new Set(panels.map((panel) => panel.id)).size).toBe(panels.length)
  const cells = panels.flatMap(({ gridPos: { h, w, x, y } }) =>
    Array.from({ length: h * w }, (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`),
  )
  expect(new Set(cells).size).toBe(cells.length)
  for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
})

test('every alert says how bad it is, after what time, and what it means', () => {
  expect(new Set(rules.map((rule) => rule.alert)).size).toBe(rules.length)
  for (const rule of rules) {
    expect(['critical', 'warning', 'info'], rule.alert).toContain(rule.labels.severity)
    expect(durationMs(rule.for)).toBeGreaterThan(0)
    expect(rule.annotations.summary).toMatch(/\w/)
  }
})

test('an alert names a percentage as the way back only where the new side is what fails', () => {
  const advising = rules.filter(({ annotations }) => /banyan set/.test(annotations.description ?? ''))
  expect(advising.map((rule) => rule.alert)).toEqual(['BanyanErrors'])
  for (const { expr } of advising) {
    for (const [, matchers] of expr.matchAll(/banyan_requests_total\{(.*?)\}/g)) expect(matchers).toContain('side="to"')
  }
})

test('what an alert calls by a label is not empty: only what has a route is spoken of by its route', () => {
  for (const { alert, expr, annotations } of rules) {
    const text = `${annotations.summary} ${annotations.description ?? ''}`
    if (!/\{\{ \$labels\.route \}\}/.test(text)) continue
    const selectors = [...expr.matchAll(/\{(.*?)\}/g)].map(([, matchers]) => matchers as string)
    expect(
      // All metrics of ramps have a route.
      expr.startsWith('banyan_ramp_') || selectors.some((one) => /side="|reason=~?"(?:fallback|no-key)/.test(one)),
      alert,
    ).toBe(true)
  }
})

test.each(['prometheus.yml', 'compose.yml'])('%s is what Prometheus takes, where promtool is there to ask', (file) => {
  const { rule_files } = yamlOf(`deploy/prometheus/${file}`) as { rule_files: string[] }
  for (const rules of rule_files) expect(existsSync(join(PROJECT, 'deploy/prometheus', rules))).toBe(true)
  const promtool = findProgram('promtool')
  if (promtool === null) return
  const checked = ['check', 'config', '--syntax-only', join(PROJECT, 'deploy/prometheus', file)]
  expect(spawnSync(promtool, checked, { encoding: 'utf8' })).toMatchObject({ status: 0 })
})
