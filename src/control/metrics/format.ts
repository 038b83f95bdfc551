/**
 * The Prometheus text format: a metric with help, type and samples.
 */

export type Labels = Readonly<Record<string, string | number>>
export type Sample = readonly [labels: Labels, value: number]

/** A metric, line by line: each is made as it is read. */
export type Metric = Iterable<string>

/** A metric of plain samples. */
export function* metric(name: string, type: 'counter' | 'gauge', help: string, samples: readonly Sample[]): Metric {
  yield head(name, type, help)
  for (const [labels, value] of samples) yield line(name, labels, value)
}

/** The lines that come before the samples. */
export function head(name: string, type: string, help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
}

/** A sample. */
export function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(String(text))}"`)
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`
}

/** The sample of a metric without labels. */
export function one(value: number): Sample[] {
  return [[{}, value]]
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
