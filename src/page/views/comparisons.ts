/**
 * What comparing the two sides of a route has found, by field, with an example of each side by side.
 */
import { useState } from 'preact/hooks'
import { at, read } from '../api.ts'
import { countText, ratioText, timeText } from '../format.ts'
import { useResource } from '../hooks.ts'
import { html } from '../html.ts'
import { DataTable, type TableRow } from '../parts/table.ts'

interface Found {
  readonly comparisons: number
  readonly matches: number
  readonly problem: string | null
  readonly fields: readonly Field[]
  readonly moreFields: number
}

interface Field {
  readonly path: string
  readonly kind: string
  readonly count: number
  readonly verdict: string
  readonly rate: number
  readonly noiseRate: number | null
  readonly sample: string | null
  readonly example: { readonly from: string | null; readonly to: string | null } | null
  readonly first: string
  readonly last: string
}

/** A sample that a person looks at. */
interface Sample {
  readonly id: string
  readonly text: string
}

const EVERY_MS = 5_000

export function Comparisons({ id }: { id: string }) {
  const { body, error } = useResource<Found>(at`/routes/${id}/comparisons`, EVERY_MS)
  const [sample, setSample] = useState<Sample | null>(null)
  const show = (wanted: string): void => {
    read(at`/samples/${wanted}`).then(
      (found) => setSample({ id: wanted, text: JSON.stringify(found, null, 2) }),
      (problem: Error) => setSample({ id: wanted, text: problem.message }),
    )
  }
  return html`
    <section class="card" aria-label="Comparisons">
      <h2>Comparisons</h2>
      ${body === null && html`<p>${error ?? 'Loading…'}</p>`}
      ${
        body !== null &&
        html`<p>${countText(body.comparisons)} compared, ${countText(body.comparisons - body.matches)} differ${
          body.problem !== null && html`. <span class="problem">${body.problem}</span>`
        }</p>
        ${
          body.fields.length > 0 &&
          html`<${DataTable} label="Fields that differ" titles=${['Field', 'Verdict', 'Rate, noise', 'Old', 'New', 'Last', '']}
          rows=${body.fields.map((field) => rowOf(field, sample, show))} />`
        }
        ${body.moreFields > 0 && html`<p class="dim">and ${body.moreFields} more</p>`}`
      }
    </section>`
}

function rowOf(field: Field, sample: Sample | null, show: (id: string) => void): TableRow {
  const { path, kind, verdict, rate, noiseRate, example, last, sample: id } = field
  return {
    key: `${path} ${kind}`,
    cells: [
      html`<code>${path === '' ? '(body)' : path}</code> <small class="dim">${kind}</small>`,
      html`<span class=${verdict === 'mismatch' ? 'bad' : ''}>${verdict}</span>`,
      `${ratioText(rate)}, ${ratioText(noiseRate)}`,
      html`<code class="old">${example?.from ?? '–'}</code>`,
      html`<code class="new">${example?.to ?? '–'}</code>`,
      timeText(last),
      id === null
        ? null
        : html`<button type="button" onClick=${() => show(id)}>Sample<span class="hidden"> of ${path}</span></button>`,
    ],
    below: id !== null && sample?.id === id ? html`<pre tabindex="0">${sample.text}</pre>` : null,
  }
}
