/**
 * The page: a bar to go by, and the view that the URL names.
 */
import { render, type VNode } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { hasToken, setToken } from './api.ts'
import { useLive, usePlace } from './hooks.ts'
import { html } from './html.ts'
import { live } from './live.ts'
import { ActDialog, type Ask, type Plan } from './parts/dialog.ts'
import { holdWhilePressed } from './parts/press.ts'
import { SignIn } from './parts/sign-in.ts'
import { Cache } from './views/cache.ts'
import { Endpoints } from './views/endpoints.ts'
import { Instances } from './views/instances.ts'
import { Overview } from './views/overview.ts'
import { ProgressView } from './views/progress.ts'
import { Revisions } from './views/revisions.ts'
import { RouteView } from './views/route.ts'
import { Servers } from './views/servers.ts'

const PLACES = [
  ['/', 'Routes'],
  ['/progress', 'Progress'],
  ['/servers', 'Servers'],
  ['/revisions', 'Revisions'],
  ['/endpoints', 'Endpoints'],
  ['/cache', 'Cache'],
  ['/instances', 'Instances'],
] as const

function Page() {
  const { connection, problem, revision } = useLive()
  const place = usePlace()
  const [plan, setPlan] = useState<Plan | null>(null)
  const before = useRef(place)
  useEffect(() => {
    document.title = `banyan: ${place === '/' ? 'routes' : decoded(place.slice(1))}`
    // Who goes by keyboard or ear begins at the new view.
    if (before.current !== place) {
      document.getElementById('main')?.focus()
      scrollTo(0, 0)
    }
    document.querySelector('nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
    before.current = place
  }, [place])
  if (connection === 'token') return html`<${SignIn} />`
  return html`
    <header>
      <a class="skip" href=${`#${place}`} onClick=${() => document.getElementById('main')?.focus()}>Skip to the content</a>
      <a href="#/" class="logo"><img src="/page/icon.svg" alt="" width="24" height="24" /> banyan</a>
      <nav aria-label="Views">${PLACES.map(
        ([path, name]) =>
          html`<a href=${`#${path}`} aria-current=${isAt(place, path) ? 'page' : undefined}>${name}</a>`,
      )}</nav>
      <span class=${`connection ${connection}`} role="status">${
        connection === 'live' ? `revision ${revision}` : connection === 'lost' ? `not live: ${problem}` : 'connecting'
      }</span>
      ${hasToken() && html`<button type="button" onClick=${signOut}>Sign out</button>`}
    </header>
    ${viewOf(place, setPlan)}
    ${plan !== null && html`<${ActDialog} key=${plan.title} plan=${plan} onClose=${() => setPlan((now) => (now === plan ? null : now))} />`}`
}

function viewOf(place: string, ask: Ask): VNode {
  const id = /^\/routes\/(.+)$/.exec(place)?.[1]
  if (id !== undefined) return html`<${RouteView} key=${place} id=${decoded(id)} ask=${ask} />`
  switch (place) {
    case '/progress':
      return html`<${ProgressView} />`
    case '/instances':
      return html`<${Instances} />`
    case '/servers':
      return html`<${Servers} ask=${ask} />`
    case '/revisions':
      return html`<${Revisions} ask=${ask} />`
    case '/endpoints':
      return html`<${Endpoints} ask=${ask} />`
    case '/cache':
      return html`<${Cache} ask=${ask} />`
    default:
      return html`<${Overview} />`
  }
}

function isAt(place: string, path: string): boolean {
  return path === '/' ? place === '/' || place.startsWith('/routes/') : place === path
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function signOut(): void {
  setToken(null)
  live.restart()
}

holdWhilePressed()
void live.run()
const place = document.getElementById('page') as HTMLElement
// What stands there is painted while this is loaded.
place.replaceChildren()
render(html`<${Page} />`, place)
