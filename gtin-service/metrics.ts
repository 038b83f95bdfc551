/**
 * What the service tells of itself, in the text format that Prometheus reads (version 0.0.4).
 */
import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DataFacts } from './data.ts'

/** Lookups since the start, by what was answered: `failed` is status 503. */
export type LookupCounts = Readonly<Record<'found' | 'unknown' | 'failed', number>>

/** A digest of the program's files in `folder`: by it a deploy tells which code it is that answers. */
export function buildOf(folder: string): string {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.[jt]s$/.test(name))
  const texts = files.sort().map((name) => `${name}\n${readFileSync(join(folder, name))}`)
  return hash('sha256', texts.join('\n')).slice(0, 12)
}

const build = buildOf(import.meta.dirname)

/** The text of `/metrics`. `facts`: null where there is no data yet. */
export function metricsText({ found, unknown, failed }: LookupCounts, ready: boolean, facts: DataFacts | null): string {
  const counted = { '{outcome="found"}': found, '{outcome="unknown"}': unknown, '{outcome="failed"}': failed }
  let text = metric('gtin_lookups_total', 'counter', 'Lookups answered, by what was found.', counted)
  const gauge = (name: string, help: string, value: number, labels = ''): void => {
    text += metric(name, 'gauge', help, { [labels]: value })
  }
  gauge('gtin_build_info', 'Which code this is: a digest of its files.', 1, `{build="${build}"}`)
  gauge('gtin_ready', 'Whether health answers 200.', ready ? 1 : 0)
  if (facts === null) return text
  const { generation, asOf, products, bytes, ageMs, damaged, unresolved } = facts
  gauge('gtin_data_age_seconds', 'Time since the data was read from the enterprise product.', ageMs / 1_000)
  gauge('gtin_data_products', 'Products in the current data.', products)
  gauge('gtin_data_bytes', 'Size of the current data on disk.', bytes)
  gauge('gtin_data_damaged_products', 'Products that could not be read; the next sync replaces all.', damaged)
  gauge('gtin_data_unresolved_records', 'Records that the sync could not take, and remembers.', unresolved)
  const data = `{generation="${generation}",as_of="${asOf}"}`
  gauge('gtin_data_info', 'The current data, and the day that it shows.', 1, data)
  return text
}

function metric(name: string, type: string, help: string, values: Record<string, number>): string {
  const lines = Object.entries(values).map(([labels, value]) => `${name}${labels} ${value}\n`)
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}
