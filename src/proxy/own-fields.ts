/**
 * What banyan adds to an answer for its client alone: cookies. Added on delivery, after the cache, so that nothing of it is stored.
 */
import { privateCopy } from '../rules/caching/private-copy.ts'
import { ownValues, setCookieText } from '../rules/http/own-cookies.ts'
import type { Table, VisitorCookie } from '../rules/table/table.ts'
import { type CookieKeys, readVisitor, VISITOR } from '../state/cookie-keys.ts'
import type { OwnFields } from './client/answer.ts'
import type { Exchange } from './exchange.ts'

/** What an exchange adds by cookies: those received, and the visitor. */
export class ClientFields implements OwnFields {
  readonly #exchange: Exchange
  readonly #keys: CookieKeys | null
  readonly #received: readonly string[]

  /** @param received banyan's own cookies in the request: name, value, name, value */
  constructor(exchange: Exchange, keys: CookieKeys | null, received: readonly string[]) {
    this.#exchange = exchange
    this.#keys = keys
    this.#received = received
  }

  addTo(status: number, fields: readonly string[]): readonly string[] {
    const added = this.#visitorCookie()
    return added.length === 0 ? fields : [...privateCopy(status, fields), ...added]
  }

  /** The visitor cookie, where the request was drawn on a new one; its removal, where no route draws on it any more. */
  #visitorCookie(): string[] {
    const { decision, matched, view, revision, secure } = this.#exchange
    const keys = this.#keys
    const { visitor, visitorsAreDone } = revision.table
    if (keys === null || matched.route?.keysVisitors !== true) return []
    const received = ownValues(this.#received, visitor.name)
    if (visitorsAreDone)
      return received.length === 0 ? [] : setCookie(visitor, '', { ...visitor.attributes, maxAge: 0 }, secure)
    if (decision.sticky !== 'visitor' || view.visitor === undefined) return []
    if (readVisitor(keys, received)?.isCurrent === true) return []
    return setCookie(visitor, keys.sign(VISITOR, view.visitor), visitor.attributes, secure)
  }
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
