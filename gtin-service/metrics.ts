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
  return hash(
    'sha256',
    files
      .sort()
      .map((name) => `${name}\n${readFileSync(join(folder, name))}`)
      .join('\n'),
  ).slice(0, 12)
}

const build = buildOf(import.meta.dirname)

/** The text of `/metrics`. `facts`: null where there is no data yet. */
export function metricsText(counts: LookupCounts, ready: boolean, facts: DataFacts | null): string {
  const lines = [
    '# HELP gtin_lookups_total Lookups answered, by what was found.',
    '# TYPE gtin_lookups_total counter',
    ...Object.entries(counts).map(([outcome, count]) => `gtin_lookups_total{outcome="${outcome}"} ${count}`),
    '# HELP gtin_build_info Which code this is: a digest of its files.',
    '# TYPE gtin_build_info gauge',
    `gtin_build_info{build="${build}"} 1`,
    ...gauge('gtin_ready', 'Whether health answers 200.', ready ? 1 : 0),
  ]
  if (facts !== null) {
    const { generation, asOf, products, bytes, ageMs, damaged, unresolved } = facts
    lines.push(
      ...gauge('gtin_data_age_seconds', 'Time since the data was read from the enterprise product.', ageMs / 1_000),
      ...gauge('gtin_data_products', 'Products in force.', products),
      ...gauge('gtin_data_bytes', 'Size of the data in force on disk.', bytes),
      ...gauge('gtin_data_damaged_products', 'Products that could not be read; the next sync replaces all.', damaged),
      ...gauge('gtin_data_unresolved_records', 'Records that the sync could not take, and remembers.', unresolved),
      '# HELP gtin_data_info Which data is in force, and the day that it shows.',
      '# TYPE gtin_data_info gauge',
      `gtin_data_info{generation="${generation}",as_of="${asOf}"} 1`,
    )
  }
  return `${lines.join('\n')}\n`
}

function gauge(name: string, help: string, value: number): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, `${name} ${value}`]
}
