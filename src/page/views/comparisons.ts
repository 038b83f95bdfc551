/**
 * What comparing the two sides of a route has found, by field, with an example of each side by side.
 */
import { useState } from 'preact/hooks'
import { at, read } from '../api.ts'
import { countText, ratioText, timeText } from '../format.ts'
import { useResource } from '../hooks.ts'
import { html } from '../html.ts'

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

const EVERY_MS = 5_000

export function Comparisons({ id }: { id: string }) {
  const { body, error } = useResource<Found>(at`/routes/${id}/comparisons`, EVERY_MS)
  return html`
    <section class="card" aria-label="Comparisons">
      <h2>Comparisons</h2>
      ${body === null && html`<p>${error ?? 'Loading…'}</p>`}
      ${
        body !== null &&
        html`<p>${countText(body.comparisons)} compared, ${countText(body.comparisons - body.matches)} differ${
          body.problem !== null && html`. <span class="problem">${body.problem}</span>`
        }</p>
        <div class="wide" tabindex="0" role="group" aria-label="Fields that differ"><table>
          <thead><tr><th scope="col">Field</th><th scope="col">Verdict</th><th scope="col">Rate, noise</th><th scope="col">Old</th><th scope="col">New</th><th scope="col">Last</th><th scope="col"><span class="hidden">Acts</span></th></tr></thead>
          <tbody>${body.fields.map((field) => html`<${FieldRow} key=${`${field.path} ${field.kind}`} field=${field} />`)}</tbody>
        </table></div>
        ${body.moreFields > 0 && html`<p class="dim">and ${body.moreFields} more</p>`}`
      }
    </section>`
}

function FieldRow({ field }: { field: Field }) {
  const [sample, setSample] = useState<string | null>(null)
  const { path, kind, verdict, rate, noiseRate, example, last } = field
  const show = (): void => {
    const id = field.sample
    if (id === null) return
    read(at`/samples/${id}`).then(
      (body) => setSample(JSON.stringify(body, null, 2)),
      (error: Error) => setSample(error.message),
    )
  }
  return html`
    <tr>
      <th scope="row"><code>${path === '' ? '(body)' : path}</code> <small class="dim">${kind}</small></th>
      <td class=${verdict === 'mismatch' ? 'bad' : ''}>${verdict}</td>
      <td>${ratioText(rate)}, ${ratioText(noiseRate)}</td>
      <td class="old"><code>${example?.from ?? '–'}</code></td><td class="new"><code>${example?.to ?? '–'}</code></td>
      <td>${timeText(last)}</td>
      <td>${field.sample !== null && html`<button type="button" onClick=${show}>Sample<span class="hidden"> of ${path}</span></button>`}</td>
    </tr>
    ${sample !== null && html`<tr><td colspan="7"><pre tabindex="0">${sample}</pre></td></tr>`}`
}
