/**
 * Revisions: who changed what, when and why; restore and revert.
 */

import { useState } from 'preact/hooks'
import type { BriefChangeAnswer, RevisionAnswer, RevisionsAnswer, SummaryAnswer } from '../../answers/revisions.ts'
import { at } from '../api.ts'
import { timeText } from '../format.ts'
import { useLive, useResource } from '../hooks.ts'
import { html } from '../html.ts'
import { type Ask, Diff } from '../parts/dialog.ts'
import { DataTable, type TableRow } from '../parts/table.ts'

export function Revisions({ ask }: { ask: Ask }) {
  return html`<main id="main" tabindex="-1"><h1>Revisions</h1><section class="card" aria-label="All revisions"><${RevisionList} ask=${ask} /></section></main>`
}

/** @param props.route only those that changed this route; all without it */
export function RevisionList({ route, ask }: { route?: string; ask: Ask }) {
  const { revision, edition } = useLive()
  const { body, error, again } = useResource<RevisionsAnswer>('/revisions', 5_000, edition)
  const [open, setOpen] = useState<number | null>(null)
  if (body === null) return html`<p>${error ?? 'Loading…'}</p>`
  const shown =
    route === undefined ? body.revisions : body.revisions.filter(({ summary }) => summary?.changes.some(isOf(route)))
  return html`
    ${shown.length === 0 && html`<p class="dim">No revision that is stored has changed it.</p>`}
    ${body.problem !== null && html`<p class="problem">${body.problem}</p>`}
    <${DataTable} label="Revisions" titles=${['Revision', 'When', 'Who', 'What and why', '']}
      rows=${shown.map((one): TableRow => {
        const isOpen = open === one.revision
        const isInForce = one.revision === revision
        const lines = one.summary === null ? ['the first that is stored'] : linesOf(one.summary, route)
        return {
          key: one.revision,
          cells: [
            html`${one.revision}${isInForce && html` <span class="mark">in force</span>`}${one.kept != null && html` <span class="mark" title=${one.kept.reason ?? ''}>kept</span>`}`,
            timeText(one.at),
            one.author,
            html`${lines.map((line) => html`<div>${line}</div>`)}<span class="dim">${one.reason}${one.forced && ' (over an invalid file)'}</span>`,
            html`<button type="button" aria-expanded=${isOpen} onClick=${() => setOpen(isOpen ? null : one.revision)}>Show<span class="hidden"> ${one.revision}</span></button>`,
          ],
          below: isOpen ? html`<${Details} one=${one} isInForce=${isInForce} ask=${ask} onDone=${again} />` : null,
        }
      })} />`
}

function Details({
  one,
  isInForce,
  ask,
  onDone,
}: {
  one: RevisionAnswer
  isInForce: boolean
  ask: Ask
  onDone: () => void
}) {
  const { body, error } = useResource<{ diff: string | null }>(at`/revisions/${one.revision}`)
  const plan = (name: 'restore' | 'revert') => (): void =>
    ask({
      title: name === 'restore' ? `Restore revision ${one.revision}` : `Revert revision ${one.revision}`,
      note:
        name === 'restore'
          ? 'The text of that revision becomes the newest one.'
          : 'What it changed is undone; later changes stay.',
      verb: name === 'restore' ? 'Restore' : 'Revert',
      isGrave: true,
      dryRun: true,
      act: { method: 'POST', path: at`/revisions/${one.revision}/${name}` },
      onDone,
    })
  return html`
    <p class="tools">
      ${!isInForce && html`<button type="button" class="grave" onClick=${plan('restore')}>Restore…</button>`}
      <button type="button" class="grave" onClick=${plan('revert')}>Revert…</button>
    </p>
    ${body === null ? html`<p>${error ?? 'Loading…'}</p>` : body.diff === null ? html`<p class="dim">The first one that is stored.</p>` : html`<${Diff} text=${body.diff} />`}`
}

function isOf(route: string): (change: BriefChangeAnswer) => boolean {
  return ({ what, name }) => what === 'route' && name === route
}

/** What a revision changed, a line each. @param route is not named: the list is about it */
function linesOf(summary: SummaryAnswer, route?: string): readonly string[] {
  const lines = summary.changes.map(({ what, name, change, keys }) => {
    const said = keys.map(({ key, before, after }) => `${key} ${before ?? 'unset'} → ${after ?? 'unset'}`).join(', ')
    const words = said === '' ? change : said
    return what === 'route' && name === route ? words : `${what} ${name}: ${words}`
  })
  return summary.more > 0 ? [...lines, `and ${summary.more} more`] : lines
}
