/**
 * A change, before it is made: what it would do where the API can say so, a reason, and the answer of the API where it refuses.
 */

import { useEffect, useRef, useState } from 'preact/hooks'
import type { DryRunAnswer } from '../../answers/revisions.ts'
import { type Act, type ApiError, act, dryRun } from '../api.ts'
import { html } from '../html.ts'
import { live } from '../live.ts'

/** Asks a person about a change. */
export type Ask = (plan: Plan) => void

/** What a person is about to do. */
export interface Plan {
  readonly title: string
  /** What the button says. */
  readonly verb: string
  readonly act: Act
  /** The API can be asked what it would do (`?dryRun=true`). */
  readonly dryRun?: boolean
  /** What the API is asked as a dry run instead, for an act that has none of its own. */
  readonly preview?: Act
  /** Takes something away from clients or people. */
  readonly isGrave?: boolean
  /** Puts the reason into the body too, for those that want it there. */
  readonly reasonInBody?: boolean
  readonly note?: string
  onDone?(answer: unknown): void
}

/** No blanks only. */
const SOME_TEXT = '.*\\S.*'

/** @param props.plan what is asked about; `onClose` is called when it is done or not wanted */
export function ActDialog({ plan, onClose }: { plan: Plan; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [reason, setReason] = useState('')
  const [problem, setProblem] = useState<string | null>(null)
  const [preview, setPreview] = useState<(DryRunAnswer & { readonly etag: string }) | null>(null)
  const [turn, setTurn] = useState(0)
  const [isBusy, setBusy] = useState(false)

  const asked = plan.dryRun === true ? plan.act : plan.preview
  useEffect(() => dialog.current?.showModal(), [])
  useEffect(() => {
    if (asked === undefined) return
    setPreview(null)
    dryRun<DryRunAnswer>(asked).then(setPreview, (error: Error) => setProblem(error.message))
  }, [plan, turn])
  const isAsking = asked !== undefined && preview === null && problem === null

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault()
    setProblem(null)
    // Nobody has seen what it would do.
    if (plan.dryRun === true && preview === null) {
      setTurn(turn + 1)
      return
    }
    setBusy(true)
    try {
      const body = plan.reasonInBody === true ? { ...(plan.act.body as object), reason } : plan.act.body
      // What was shown is what is done: of another revision nobody has seen what it would change.
      const shown = plan.dryRun === true && preview !== null ? { ifMatch: preview.etag } : {}
      const answer = await act({
        ...plan.act,
        ...(body === undefined ? {} : { body }),
        ...shown,
        reason: reason.trim(),
      })
      plan.onDone?.(answer)
      // The focus goes back to where it was.
      dialog.current?.close()
    } catch (error) {
      const { wantsToken = false, code = '', message } = error as ApiError
      if (wantsToken) live.restart()
      setBusy(false)
      if (code === 'outdated' && plan.act.ifMatch === undefined) {
        setProblem('The table has changed meanwhile. Look at what this would change now.')
        setTurn(turn + 1)
      } else setProblem(message)
    }
  }

  return html`
    <dialog ref=${dialog} onClose=${onClose} aria-labelledby="dialog-title">
      <form onSubmit=${submit}>
        <h2 id="dialog-title">${plan.title}</h2>
        ${plan.note && html`<p>${plan.note}</p>`}
        ${(isAsking || preview !== null) && html`<${Preview} preview=${preview} />`}
        <label class="stacked">Reason <input name="reason" value=${reason} maxLength="400" required pattern=${SOME_TEXT} title="A few words" autocomplete="off" autofocus
          onInput=${(event: Event) => setReason((event.target as HTMLInputElement).value)} /></label>
        <p role="alert" class="problem">${problem}</p>
        <footer>
          <button type="button" onClick=${() => dialog.current?.close()}>Cancel</button>
          <button class=${plan.isGrave === true ? 'grave' : 'primary'} disabled=${isBusy || isAsking}>${plan.verb}</button>
        </footer>
      </form>
    </dialog>`
}

function Preview({ preview }: { preview: DryRunAnswer | null }) {
  if (preview === null) return html`<p class="dim" aria-live="polite">Asking what it would do…</p>`
  const { simulation, diff, warnings = [], changed } = preview
  return html`
    <section aria-live="polite">
      ${!changed && html`<p>This changes nothing.</p>`}
      ${
        simulation &&
        html`<p>Of the last ${simulation.exchanges} requests ${simulation.moved} would go elsewhere${
          simulation.units.seen > 0 && `: ${simulation.units.moved} of ${simulation.units.seen} clients`
        }.${simulation.withoutKey.moved > 0 && ` ${simulation.withoutKey.moved} of them have no key.`}</p>`
      }
      ${warnings.map(({ message }) => html`<p class="warning">${message}</p>`)}
      ${diff && html`<${Diff} text=${diff} />`}
    </section>`
}

/** A difference in unified format. */
export function Diff({ text }: { text: string }) {
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const kind = line.startsWith('+') ? 'added' : line.startsWith('-') ? 'removed' : line.startsWith('@') ? 'dim' : ''
      return html`<span class=${kind}>${line}${'\n'}</span>`
    })
  return html`<pre class="diff" tabindex="0">${lines}</pre>`
}
