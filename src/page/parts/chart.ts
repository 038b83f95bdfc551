/**
 * Curves over time. The library comes only when there is something to draw.
 */
import { useEffect, useRef } from 'preact/hooks'
import type { AlignedData, Options } from 'uplot'
import { clockText } from '../format.ts'
import { html } from '../html.ts'

interface Chart {
  readonly label: string
  readonly series: readonly { readonly label: string; readonly color: 'old' | 'new' | 'ink' }[]
  /** Seconds since the epoch, then a list for each series. */
  readonly data: readonly (readonly (number | null)[])[]
  readonly unit: string
}

const HEIGHT = 160

/** A chart with one axis; drawn again as its data grow. */
export function Curves({ label, series, data, unit }: Chart) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<{ setData(data: AlignedData): void; destroy(): void } | null>(null)
  const latest = useRef(data)
  latest.current = data
  useEffect(() => {
    let isOver = false
    let resized: ResizeObserver | undefined
    void import('uplot').then(({ default: Plot }) => {
      const element = place.current
      if (isOver || element === null) return
      const style = getComputedStyle(document.documentElement)
      const color = (name: string): string => style.getPropertyValue(`--${name}`).trim()
      const axis = { stroke: color('dim'), grid: { stroke: color('line'), width: 1 }, ticks: { show: false } }
      const options: Options = {
        width: element.clientWidth,
        height: HEIGHT,
        cursor: { y: false },
        legend: { live: true },
        axes: [
          { ...axis, space: 70, size: 30, values: (_, times) => times.map(clockText) },
          { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => `${tick} ${unit}`) },
        ],
        scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
        series: [
          { label: 'at', value: (_, time) => (time === null ? '–' : clockText(time)) },
          ...series.map((one) => ({
            label: one.label,
            stroke: color(one.color),
            width: 2,
            spanGaps: true,
            points: { show: false },
          })),
        ],
      }
      const made = new Plot(options, latest.current as unknown as AlignedData, element)
      plot.current = made
      resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }))
      resized.observe(element)
    })
    return () => {
      isOver = true
      resized?.disconnect()
      plot.current?.destroy()
      plot.current = null
    }
  }, [series.map((one) => one.label).join()])
  useEffect(() => plot.current?.setData(data as unknown as AlignedData), [data])
  return html`<figure class="chart"><figcaption>${label}</figcaption><div ref=${place} role="img" aria-label=${label}></div></figure>`
}
