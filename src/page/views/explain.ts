/**
 * Why a request goes where it goes, by a form.
 */
import { useState } from 'preact/hooks'
import { act } from '../api.ts'
import { askedText } from '../format.ts'
import { html } from '../html.ts'

interface Explained {
  readonly decision: {
    readonly routeId: string | null
    readonly upstream: string
    readonly reason: string
    readonly bucket?: number | null
    readonly percent?: number | null
    readonly sticky?: string | null
  }
  readonly candidates: readonly {
    readonly routeId: string
    readonly matched: boolean
    readonly won: boolean
    readonly lost: readonly string[]
  }[]
  readonly otherRoutes: number
  readonly sent: readonly {
    readonly side: string
    readonly upstream: string
    readonly method: string
    /** Null where the path could be misread. */
    readonly target: string | null
    readonly headers: readonly (readonly [string, string])[]
  }[]
  readonly server?: string | null
  readonly cache?: { readonly verdict: string; readonly why: string | null } | null
}

/** Other routes that are named, with what they asked for in vain. */
const SHOWN = 5
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** What a reason means, in words. */
const REASONS: Readonly<Record<string, string>> = {
  default: 'no route claims it',
  percent: 'its key is in the share',
  rest: 'its key is not in the share',
  'no-key': 'it has no key',
  forced: 'a force token says so',
  pinned: 'the client has just written there',
  unavailable: 'the new side can’t be asked',
  ambiguous: 'its path can be read in more than one way',
  retired: 'the endpoint has ended',
}

/** @param props.path to begin with @param props.methods that the route takes; all where there are none */
export function Explain({ path, methods }: { path: string; methods: readonly string[] }) {
  const [method, setMethod] = useState(methods[0] ?? 'GET')
  const [url, setUrl] = useState(path)
  const [fields, setFields] = useState('')
  const [said, setSaid] = useState<Explained | null>(null)
  const [problem, setProblem] = useState<string | null>(null)
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    setProblem(null)
    const lines = fields.split('\n').filter((line) => line.trim() !== '')
    const odd = lines.find((line) => !line.includes(':'))
    if (odd !== undefined) {
      setProblem(`${odd.trim()} is no header: write NAME: VALUE.`)
      return
    }
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')).trim(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    try {
      setSaid(await act<Explained>({ method: 'POST', path: '/explain', body: { method, url, headers } }))
    } catch (error) {
      setSaid(null)
      setProblem((error as Error).message)
    }
  }
  return html`
    <section class="card" aria-label="Explain">
      <h2>Explain a request</h2>
      <form onSubmit=${submit} class="explain">
        <label class="stacked">Method <select value=${method} onChange=${(event: Event) => setMethod((event.target as HTMLSelectElement).value)}>
          ${[...new Set([...methods, ...METHODS])].map((one) => html`<option>${one}</option>`)}
        </select></label>
        <label class="stacked">URL or path <input required value=${url} onInput=${(event: Event) => setUrl((event.target as HTMLInputElement).value)} /></label>
        <label class="stacked whole-line">Headers, one a line <textarea rows="2" placeholder="cookie: sid=alice" value=${fields}
          onInput=${(event: Event) => setFields((event.target as HTMLTextAreaElement).value)}></textarea></label>
        <button>Explain</button>
      </form>
      <p role="alert" class="problem">${problem}</p>
      ${said !== null && html`<${Answer} said=${said} />`}
    </section>`
}

function Answer({ said: { decision, server, cache, candidates, otherRoutes, sent } }: { said: Explained }) {
  const { routeId, upstream, reason, bucket, percent, sticky } = decision
  const goes = sent.find((one) => one.upstream === upstream) ?? sent[0]
  const others = candidates.filter(({ won }) => !won)
  const more = others.length - SHOWN + otherRoutes
  return html`
    <dl aria-live="polite">
      <dt>Route</dt><dd>${routeId ?? 'none'}</dd>
      <dt>Goes to</dt><dd><strong>${upstream === '' ? 'nowhere' : upstream}</strong>${server && `, server ${server}`}</dd>
      <dt>Because</dt><dd>${reason}${REASONS[reason] !== undefined && `: ${REASONS[reason]}`}</dd>
      ${bucket != null && html`<dt>Draw</dt><dd>bucket ${bucket.toFixed(4)}${percent != null && ` of 100, ${askedText(percent)} move`}${sticky != null && `; key ${sticky}`}</dd>`}
      ${cache != null && html`<dt>Cache</dt><dd>${cache.verdict}${cache.why !== null && `: ${cache.why}`}</dd>`}
      ${
        goes !== undefined &&
        html`<dt>Is sent</dt><dd>${goes.target === null ? 'nothing: its path could be misread, and gets 400' : html`<code>${goes.method} ${goes.target}</code>`}
        <details><summary>${goes.headers.length} header fields</summary><pre tabindex="0">${goes.headers.map(([name, value]) => `${name}: ${value}\n`)}</pre></details></dd>`
      }
      ${others.length > 0 && html`<dt>Not by</dt><dd><ul class="plain">${others.slice(0, SHOWN).map(({ routeId: id, matched, lost }) => html`<li><strong>${id}</strong>: ${matched ? 'another route takes precedence' : lost.join('; ')}</li>`)}</ul>${more > 0 && html`<span class="dim">and ${more} more</span>`}</dd>`}
    </dl>`
}
