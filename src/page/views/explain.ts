/**
 * Why a request goes where it goes, by a form.
 */
import { useState } from 'preact/hooks'
import { act } from '../api.ts'
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
  readonly server?: string | null
  readonly cache?: { readonly verdict: string; readonly why: string | null } | null
}

export function Explain({ path }: { path: string }) {
  const [url, setUrl] = useState(path)
  const [fields, setFields] = useState('')
  const [said, setSaid] = useState<Explained | null>(null)
  const [problem, setProblem] = useState<string | null>(null)
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    setProblem(null)
    const headers = Object.fromEntries(
      fields
        .split('\n')
        .filter((line) => line.includes(':'))
        .map((line) => [line.slice(0, line.indexOf(':')).trim(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    try {
      setSaid(await act<Explained>({ method: 'POST', path: '/explain', body: { url, headers } }))
    } catch (error) {
      setSaid(null)
      setProblem((error as Error).message)
    }
  }
  return html`
    <section class="card" aria-label="Explain">
      <h2>Explain a request</h2>
      <form onSubmit=${submit} class="explain">
        <label class="stacked">URL or path <input required value=${url} onInput=${(event: Event) => setUrl((event.target as HTMLInputElement).value)} /></label>
        <label class="stacked">Headers <textarea rows="2" placeholder="cookie: sid=alice" value=${fields}
          onInput=${(event: Event) => setFields((event.target as HTMLTextAreaElement).value)}></textarea></label>
        <button>Explain</button>
      </form>
      <p role="alert" class="problem">${problem}</p>
      ${said !== null && html`<${Answer} said=${said} />`}
    </section>`
}

function Answer({ said: { decision, server, cache } }: { said: Explained }) {
  const { routeId, upstream, reason, bucket, percent, sticky } = decision
  return html`
    <dl aria-live="polite">
      <dt>Route</dt><dd>${routeId ?? 'none'}</dd>
      <dt>Goes to</dt><dd><strong>${upstream}</strong>${server && `, server ${server}`}</dd>
      <dt>Because</dt><dd>${reason}${
        bucket != null && `: its bucket is ${bucket.toFixed(4)}, ${percent} % move`
      }${sticky != null && `, by ${sticky}`}</dd>
      ${cache != null && html`<dt>Cache</dt><dd>${cache.verdict}${cache.why !== null && `: ${cache.why}`}</dd>`}
    </dl>`
}
