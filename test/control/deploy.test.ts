/**
 * The example dashboard and alert rules ask only for figures that there are.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { Measurements } from '../../src/state/measurements.ts'
import { adminRig } from './rig.ts'

const read = (path: string): string => readFileSync(new URL(`../../deploy/${path}`, import.meta.url), 'utf8')

/** Words of PromQL, and figures of Prometheus and of a remote store, which the rig has not. */
const KNOWN = new Set(['up', 'banyan_redis_up', 'banyan_redis_breaker_open'])

async function figures(): Promise<Set<string>> {
  const at = await adminRig({ measurements: new Measurements() })
  const { text } = await at.ask('GET', '/metrics')
  await at.close()
  const names = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name, type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name as string],
  )
  return new Set([...names, ...KNOWN])
}

const namesIn = (expr: string): string[] =>
  expr.replaceAll(/"[^"]*"/g, '').match(/\b(?:banyan|process|nodejs)_[a-z0-9_]+|\bup\b/g) ?? []

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly annotations: { readonly summary: string }
}

test('every alert', async () => {
  const known = await figures()
  const { groups } = parse(read('prometheus/alerts.yml')) as { groups: { rules: Rule[] }[] }
  const rules = groups.flatMap((group) => group.rules)
  expect(rules.length).toBeGreaterThan(8)
  for (const { alert, expr, annotations } of rules) {
    expect(namesIn(expr).length, alert).toBeGreaterThan(0)
    for (const name of namesIn(expr)) expect(known, alert).toContain(name)
    expect(annotations.summary, alert).toMatch(/\S/)
  }
  expect(parse(read('prometheus/prometheus.yml'))).toMatchObject({
    rule_files: ['alerts.yml'],
    scrape_configs: [{ metrics_path: '/metrics' }],
  })
})

test('every panel', async () => {
  const known = await figures()
  const { panels } = JSON.parse(read('grafana/banyan.json')) as {
    panels: { title: string; targets?: { expr: string }[] }[]
  }
  const expressions = panels.flatMap(({ targets }) => targets ?? []).map(({ expr }) => expr)
  expect(expressions.length).toBeGreaterThan(15)
  for (const expr of expressions) for (const name of namesIn(expr)) expect(known, expr).toContain(name)
})
