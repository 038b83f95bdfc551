/**
 * A long list: only what is in sight is drawn.
 */
import type { VNode } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { html } from '../html.ts'

/** Below this all are drawn: the browser's own search finds them. */
const SMALL = 100
/** Drawn above and below what is in sight. */
const MARGIN = 10

interface Rows<Item> {
  readonly items: readonly Item[]
  /** Of each row, in pixels. */
  readonly height: number
  readonly label: string
  draw(item: Item, index: number): VNode
}

/** The rows of a table's body. The page itself scrolls. */
export function VirtualRows<Item>({ items, height, label, draw }: Rows<Item>) {
  const body = useRef<HTMLDivElement>(null)
  const [range, setRange] = useState<readonly [number, number]>([0, SMALL])
  const isLong = items.length > SMALL
  useEffect(() => {
    if (!isLong) return
    const look = (): void => {
      const top = body.current?.getBoundingClientRect().top ?? 0
      const first = Math.max(0, Math.floor(-top / height) - MARGIN)
      const last = Math.ceil((innerHeight - top) / height) + MARGIN
      setRange((known) => (known[0] === first && known[1] === last ? known : [first, last]))
    }
    look()
    addEventListener('scroll', look, { passive: true })
    addEventListener('resize', look)
    return () => {
      removeEventListener('scroll', look)
      removeEventListener('resize', look)
    }
  }, [isLong, height])
  const [first, last] = isLong ? range : [0, items.length]
  const above = Math.min(first, items.length) * height
  const below = Math.max(0, items.length - last) * height
  return html`
    <div ref=${body} role="rowgroup" aria-label=${label}>
      ${above > 0 && html`<div style=${{ height: `${above}px` }}></div>`}
      ${items.slice(first, last).map((item, at) => draw(item, first + at))}
      ${below > 0 && html`<div style=${{ height: `${below}px` }}></div>`}
    </div>`
}
