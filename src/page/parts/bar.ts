/**
 * How much of something is on the new side: what was asked for, and what is seen.
 */
import { askedText, percentText } from '../format.ts'
import { html } from '../html.ts'

interface Share {
  /** 0 to 100. */
  readonly asked: number
  /** 0 to 100; null where nothing was seen. */
  readonly seen: number | null
  readonly label?: string
  /** What it says to those who don't see it; by itself what was asked for, and what was seen. */
  readonly text?: string
}

/** A bar that fills with what is asked for, with a mark at what is seen. */
export function ShareBar({ asked, seen, label, text: given }: Share) {
  const text =
    given ??
    `${label}: ${askedText(asked)} asked for, ${seen === null ? 'no requests seen' : `${percentText(seen)} seen`}`
  return html`
    <div class="share" role="img" aria-label=${text} title=${text}>
      <span class="fill" style=${{ width: `${asked}%` }}></span>
      ${seen !== null && html`<span class="seen" style=${{ left: `${Math.min(100, seen)}%` }}></span>`}
    </div>`
}
