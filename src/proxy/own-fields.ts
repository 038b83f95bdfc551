/**
 * What banyan changes in an answer for its client alone, on delivery, after the cache, so that nothing of it is stored.
 */
import { privateCopy } from '../rules/caching/private-copy.ts'
import { fieldValues, type Side } from '../rules/http/exchange.ts'
import {
  nameOfSetCookie,
  ownValues,
  serverCookie,
  setCookieLike,
  setCookieText,
  sideCookie,
} from '../rules/http/own-cookies.ts'
import { announced } from '../rules/retirement/retirement.ts'
import { answeringSide } from '../rules/routing/decide.ts'
import { drawsKeys, firstKey } from '../rules/routing/targets.ts'
import { answerFields, answerTrailers } from '../rules/sending/sent.ts'
import type { Route, Table, VisitorCookie } from '../rules/table/table.ts'
import { type CookieKeys, readVisitor, VISITOR } from '../state/cookie-keys.ts'
import { isUsable } from '../state/upstreams/affinity.ts'
import type { Upstreams } from '../state/upstreams/upstreams.ts'
import type { OwnFields } from './client/answer.ts'
import type { Exchange } from './exchange.ts'

/** What an exchange changes: the fields that the table sets and removes, what announces an end, and the visitor cookie. */
export class ClientFields implements OwnFields {
  readonly #exchange: Exchange
  readonly #upstreams: Upstreams
  readonly #keys: CookieKeys | null

  constructor(exchange: Exchange, upstreams: Upstreams, keys: CookieKeys | null) {
    this.#exchange = exchange
    this.#upstreams = upstreams
    this.#keys = keys
  }

  addTo(status: number, fields: readonly string[]): readonly string[] {
    const { route } = this.#exchange.matched
    const cookies = [...this.#visitorCookie(), ...this.#serverCookie(fields)]
    const side = route === null || route.tellSide === null ? null : this.#side(route)
    if (side !== null && route!.tellSide === 'cookie') cookies.push(...this.#sideCookie(route!, side))
    // What somebody was forced to is nobody else's.
    const isPrivate = cookies.length > 0 || this.#exchange.decision.reason === 'forced'
    const edited = this.#edited(fields)
    const own = isPrivate ? [...privateCopy(status, edited), ...cookies] : edited
    const told = side === null || route!.tellSide !== 'header' ? own : [...without(own, SIDE), 'Banyan-Side', side]
    return route === null || route.retire === null ? told : announced(told, route.retire)
  }

  trailers(fields: readonly string[]): readonly string[] {
    const { matched, tellsId } = this.#exchange
    const side = matched.route === null ? null : this.#side(matched.route)
    return answerTrailers(fields, this.#exchange, side, tellsId)
  }

  /** The side that has made the response; null if none has. */
  #side(route: Route): Side | null {
    const { decision, failure } = this.#exchange
    return failure === null ? answeringSide(decision, route) : null
  }

  /** As the table sets and removes fields in the answers of `to`; answers of banyan's own are not that side's. With the id, where it is told. */
  #edited(fields: readonly string[]): readonly string[] {
    const { matched, tellsId } = this.#exchange
    const side = matched.route === null ? null : this.#side(matched.route)
    return answerFields(fields, this.#exchange, side, tellsId)
  }

  #sideCookie({ id }: Route, side: Side): string[] {
    const { own, secure } = this.#exchange
    const name = sideCookie(id)
    return ownValues(own, name)[0] === side ? [] : ['Set-Cookie', setCookieText(name, side, FOR_SCRIPTS, secure)]
  }

  /** The visitor cookie, where the request was drawn on a new one; its removal, where no route draws on it any more. */
  #visitorCookie(): string[] {
    const { matched, view, own, revision, secure } = this.#exchange
    const keys = this.#keys
    const { visitor, visitorsAreDone } = revision.table
    if (keys === null || matched.route?.keysVisitors !== true) return []
    const received = ownValues(own, visitor.name)
    if (visitorsAreDone)
      return received.length === 0 ? [] : setCookie(visitor, '', { ...visitor.attributes, maxAge: 0 }, secure)
    if (view.visitor === undefined || !isDrawnOnVisitor(this.#exchange, matched.route)) return []
    if (readVisitor(keys, received)?.isCurrent === true) return []
    return setCookie(visitor, keys.sign(VISITOR, view.visitor), visitor.attributes, secure)
  }

  /**
   * The cookie that names the server of this response: for a client that has none, or whose server is gone or ill; where it goes
   * with a session, when that begins.
   */
  #serverCookie(fields: readonly string[]): string[] {
    const { decision, cache, failure, server: id, own, secure } = this.#exchange
    const upstream = this.#upstreams.get(decision.upstream)
    const settings = upstream?.settings.affinity
    if (upstream === undefined || settings?.kind !== 'cookie') return []
    // No server has made this response.
    if (failure !== null || cache === 'hit' || cache === 'stale') return []
    const { servers, affinity } = upstream
    const server = servers.find(({ name }) => name === id)
    if (server === undefined) return []
    const name = serverCookie(upstream.name)
    const value = affinity.valueOf(server)
    if (settings.session !== null) {
      const begun = fieldValues(fields, 'set-cookie').filter((text) => nameOfSetCookie(text) === settings.session)
      return begun.flatMap((text) => ['Set-Cookie', setCookieLike(text, name, value, secure)])
    }
    const named = affinity.named(servers, own)
    if (named?.isCurrent === true && (named.server === server || isUsable(servers, named.server, true))) return []
    const kept = named !== null && isUsable(servers, named.server, true) ? affinity.valueOf(named.server) : value
    return ['Set-Cookie', setCookieText(name, kept, OF_SESSION, secure)]
  }
}

const SIDE = 'banyan-side'

function without(fields: readonly string[], name: string): readonly string[] {
  return fields.filter((_, at) => (fields[at - (at % 2)] as string).toLowerCase() !== name)
}

/** With the session of the browser. */
const OF_SESSION = { path: '/', domain: null, maxAge: null, sameSite: 'lax', httpOnly: true } as const
const FOR_SCRIPTS = { ...OF_SESSION, httpOnly: false } as const

/** Whether the visitor cookie has decided: the side, or which of several targets where everybody has moved. */
function isDrawnOnVisitor({ decision, matched, view }: Exchange, route: Route): boolean {
  if (decision.sticky !== null || !route.movesAll) return decision.sticky === 'visitor'
  return drawsKeys(route) && firstKey(route, matched.params, view) === view.visitor
}

function setCookie(
  { name }: VisitorCookie,
  value: string,
  attributes: VisitorCookie['attributes'],
  secure: boolean,
): string[] {
  return ['Set-Cookie', setCookieText(name, value, attributes, secure)]
}

/** Whether the visitor cookie of a table needs a closer look than for the names that banyan gives. */
export function namesVisitors({ visitor, addsToAnswers }: Table): boolean {
  return addsToAnswers && Object.hasOwn(visitor.document, 'name')
}
