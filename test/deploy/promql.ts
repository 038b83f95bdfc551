/**
 * What Prometheus reads and asks: its text format, and the metrics and labels that a PromQL expression names.
 */
import { parser } from '@prometheus-io/lezer-promql'

/** The metrics of an exposition, each with the labels that its samples bear. A metric without samples has none. */
export function metricsIn(exposition: string): Map<string, Set<string>> {
  const metrics = new Map<string, Set<string>>()
  for (const line of exposition.split('\n')) {
    const [, name, labels] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line) ?? []
    if (name === undefined) continue
    const known = metrics.get(name) ?? new Set()
    for (const [, label] of (labels ?? '').matchAll(/(?:^|,)(\w+)="/g)) known.add(label as string)
    metrics.set(name, known)
  }
  return metrics
}

/** What an expression asks for: `labels` are those of its matchers, `grouping` those that it adds up by or joins on. */
export interface Asked {
  readonly metric: string
  readonly labels: readonly string[]
}

/** The metrics of an expression with the labels that it matches, and the labels that it groups by. @throws where it is no PromQL */
export function readExpression(expression: string): { readonly asked: Asked[]; readonly grouping: string[] } {
  const asked: { metric: string; labels: string[] }[] = []
  const grouping: string[] = []
  let within = ''
  parser.parse(expression).iterate({
    enter({ type, from, to }) {
      const text = expression.slice(from, to)
      if (type.isError) throw new Error(`no PromQL at ${from}: ${expression}`)
      if (['LabelMatchers', 'GroupingLabels'].includes(type.name)) within = type.name
      if (type.name === 'Identifier') asked.push({ metric: text, labels: [] })
      if (type.name !== 'LabelName') return
      if (within === 'GroupingLabels') grouping.push(text)
      else asked.at(-1)?.labels.push(text)
    },
  })
  return { asked, grouping }
}
