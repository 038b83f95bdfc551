/**
 * What the service tells of itself, in the text format that Prometheus reads (version 0.0.4).
 */
import type { DataFacts } from './source.ts'

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** Lookups since the start, by what was answered. */
export interface LookupCounts {
  /** Products: status 200, 304 or 412. */
  found: number
  unknown: number
  /** The source could not tell: status 503. */
  failed: number
}

/** The text of `/metrics`. `facts`: null where there is no data, or none that has an age. */
export function metricsText(counts: LookupCounts, ready: boolean, facts: DataFacts | null): string {
  const lines = [
    '# HELP gtin_lookups_total Lookups answered, by what was found.',
    '# TYPE gtin_lookups_total counter',
    `gtin_lookups_total{outcome="found"} ${counts.found}`,
    `gtin_lookups_total{outcome="unknown"} ${counts.unknown}`,
    `gtin_lookups_total{outcome="failed"} ${counts.failed}`,
    ...gauge('gtin_ready', 'Whether health answers 200.', ready ? 1 : 0),
  ]
  if (facts !== null) {
    const { generation, asOf, products, bytes, ageMs } = facts
    lines.push(
      ...gauge('gtin_data_age_seconds', 'Time since the data was read from the enterprise product.', ageMs / 1_000),
      ...gauge('gtin_data_products', 'Products in force.', products),
      ...gauge('gtin_data_bytes', 'Size of the data in force on disk.', bytes),
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
