/**
 * What comparing the two sides of a route has found, by field, with an example of each side by side.
 */

import { useState } from 'preact/hooks'
import type { ComparisonsAnswer, FieldAnswer, SampleAnswer } from '../../answers/comparisons.ts'
import { at, read } from '../api.ts'
import { askedText, countText, ratioText, timeText } from '../format.ts'
import { useResource } from '../hooks.ts'
import { html } from '../html.ts'
import type { Ask } from '../parts/dialog.ts'
import { DataTable, type TableRow } from '../parts/table.ts'

/** A sample that a person looks at, below one of its fields. */
interface Open {
  readonly field: string
  readonly sample: SampleAnswer | null
  readonly problem: string | null
}

/** What an edit of the ignored fields needs to know of a route. */
interface Routed {
  readonly etag: string
  readonly shadow?: { readonly compare?: { readonly ignore?: readonly string[] } } | null
}

const EVERY_MS = 5_000
/** Percents that one click asks for. */
const START = [1, 10, 100]

export function Comparisons({ id, ask }: { id: string; ask: Ask }) {
  const { body, error, again } = useResource<ComparisonsAnswer>(at`/routes/${id}/comparisons`, EVERY_MS)
  const [open, setOpen] = useState<Open | null>(null)
  const toggle = (field: string, wanted: string): void => {
    if (open?.field === field) {
      setOpen(null)
      return
    }
    read<SampleAnswer>(at`/samples/${wanted}`).then(
      (sample) => setOpen({ field, sample, problem: null }),
      (problem: Error) => setOpen({ field, sample: null, problem: problem.message }),
    )
  }
  const edit = (title: string, verb: string, shadow: object, ifMatch?: string): void =>
    ask({
      title,
      verb,
      act: {
        method: 'PATCH',
        path: at`/routes/${id}`,
        body: { shadow },
        ...(ifMatch === undefined ? {} : { ifMatch }),
      },
      dryRun: true,
      onDone: again,
    })
  const ignore = (path: string): void => {
    read<Routed>(at`/routes/${id}`).then(
      ({ shadow, etag }) => {
        const ignored = shadow?.compare?.ignore ?? []
        edit(`Compare ${path} of ${id} no more`, 'Ignore', { compare: { ignore: [...ignored, path] } }, etag)
      },
      (fault: Error) => setOpen({ field: '', sample: null, problem: fault.message }),
    )
  }
  return html`
    <section class="card" aria-label="Comparisons">
      <div class="tools"><h2>Comparisons</h2>
        ${body !== null && (isOn(body) ? html`<button type="button" onClick=${() => edit(`Stop comparing ${id}`, 'Stop', { percent: 0 })}>Stop…</button>` : START.map((percent) => html`<button type="button" onClick=${() => edit(`Compare ${percent} % of the requests of ${id}`, 'Compare', { percent })}>Compare ${percent} %…</button>`))}
      </div>
      ${body === null && html`<p>${error ?? 'Loading…'}</p>`}
      ${body !== null && html`<${Told} body=${body} open=${open} toggle=${toggle} ignore=${ignore} />`}
    </section>`
}

interface Acts {
  readonly body: ComparisonsAnswer
  readonly open: Open | null
  toggle(field: string, sample: string): void
  ignore(path: string): void
}

function Told({ body, ...acts }: Acts) {
  const { comparisons, matches, partial, problem, since, shadow, fields, moreFields, errors, skipped } = body
  const shared =
    shadow === null || shadow.percent === 0
      ? 'Off. A share of the requests can be copied to the other side, and the responses compared'
      : `${askedText(shadow.percent)} of the requests are copied`
  const counts = html`<${Counts} title="Copies without an answer" counts=${errors} />
    <${Counts} title="Not compared" counts=${{ 'bodies not compared': partial }} />
    <${Counts} title="Not copied" counts=${skipped} />`
  if (comparisons === 0 && fields.length === 0)
    return html`<p>${shared}.</p>${problem !== null && html`<p class="problem">${problem}</p>`}
    ${counts}`
  return html`
    <p>${shared}: <strong>${countText(comparisons)}</strong> compared${since !== null && ` since ${timeText(since)}`}, <strong>${countText(
      comparisons - matches,
    )}</strong> with a difference.</p>
    ${problem !== null && html`<p class="problem">${problem}</p>`}
    ${
      fields.length > 0 &&
      html`<${DataTable} label="Fields that differ" titles=${['Field', 'Verdict', 'Rate', 'Noise', 'Old', 'New', 'Last', '']}
      rows=${fields.map((field) => rowOf(field, { body, ...acts }))} />`
    }
    ${moreFields > 0 && html`<p class="dim">and ${countText(moreFields)} more fields</p>`}
    ${counts}`
}

function isOn({ shadow }: ComparisonsAnswer): boolean {
  return shadow !== null && shadow.percent > 0
}

function rowOf(field: FieldAnswer, { open, toggle, ignore }: Acts): TableRow {
  const { path, kind, verdict, rate, noiseRate, example, last, sample } = field
  const [key, name] = [`${path} ${kind}`, path === '' ? '(body)' : path]
  const isOpen = open?.field === key
  return {
    key,
    cells: [
      html`<code>${name}</code> <small class="dim">${kind}</small>`,
      html`<span class=${verdict === 'mismatch' ? 'bad' : ''}>${verdict.replace('-', ' ')}</span>`,
      ratioText(rate),
      ratioText(noiseRate),
      html`<code class="old">${shapeOf(example?.from)}</code>`,
      html`<code class="new">${shapeOf(example?.to)}</code>`,
      timeText(last),
      html`<span class="acts">${
        sample !== null &&
        html`<button type="button" aria-expanded=${isOpen} onClick=${() => toggle(key, sample)}>Example<span class="hidden"> of ${name}</span></button>`
      }${
        path.startsWith('/') &&
        html`<button type="button" onClick=${() => ignore(path)}>Ignore…<span class="hidden"> ${name}</span></button>`
      }</span>`,
    ],
    below: isOpen ? html`<${Example} open=${open} />` : null,
  }
}

function Example({ open: { sample, problem } }: { open: Open }) {
  if (sample === null) return html`<p class="problem">${problem}</p>`
  return html`
    <p><code>${sample.method} ${sample.target}</code> <span class="dim">${timeText(sample.at)}</span></p>
    ${sample.note !== null && html`<p class="dim">${sample.note}</p>`}
    <${DataTable} label="One comparison" titles=${['Field', 'Kind', 'Old', 'New']}
      rows=${sample.differences.map(({ path, kind, from, to }) => ({
        key: `${path} ${kind}`,
        cells: [
          html`<code>${path === '' ? '(body)' : path}</code>`,
          kind,
          html`<code class="old">${from ?? '–'}</code>`,
          html`<code class="new">${to ?? '–'}</code>`,
        ],
      }))} />`
}

function Counts({ title, counts }: { title: string; counts: Readonly<Record<string, number>> }) {
  const text = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${reason} ${countText(count)}`)
    .join(', ')
  return text === '' ? null : html`<p class="dim">${title}: ${text}</p>`
}

/** What a value is like; its hash tells a person nothing. */
function shapeOf(example: string | null | undefined): string {
  return (example ?? '–').replace(/^(\w+, \d+ characters), [0-9a-f]{16}$/, '$1')
}
