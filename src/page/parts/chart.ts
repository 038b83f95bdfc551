/**
 * Curves over time. The library comes only when there is something to draw.
 */
import { useEffect, useRef } from 'preact/hooks'
import type { AlignedData, Options, Series } from 'uplot'
import { clockText, tickText, timeText } from '../format.ts'
import { html } from '../html.ts'

/** One curve. */
export interface Curve {
  readonly label: string
  readonly color: 'old' | 'new' | 'ink'
  /** A value holds until the next one. */
  readonly isStepped?: boolean
  readonly isDashed?: boolean
}

interface Chart {
  readonly label: string
  readonly series: readonly Curve[]
  /** Seconds since the epoch, then a list for each series. */
  readonly data: readonly (readonly (number | null)[])[]
  readonly unit: string
  /** The greatest value that can be; without it the axis follows the data. */
  readonly max?: number
}

/** What is used of a chart of the library. */
interface Plotted {
  readonly data: AlignedData
  readonly cursor: { readonly left?: number }
  setData(data: AlignedData): void
  setLegend(at: { idx: number }): void
  destroy(): void
}

const HEIGHT = 160
/** Between two marks of the axis of time: a second at least, since that is what its text shows. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200].concat(
  [1, 2, 7, 14, 28, 56, 112].map((days) => days * 86_400),
)
const DAY_S = 86_400

/** Its style sheet comes with the library. */
let isStyled = false

const isDark = matchMedia('(prefers-color-scheme: dark)')

/** A chart with one axis; drawn again as its data grow. */
export function Curves({ label, series, data, unit, max }: Chart) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<Plotted | null>(null)
  const latest = useRef(data)
  latest.current = data
  useEffect(() => {
    let isOver = false
    let resized: ResizeObserver | undefined
    const draw = (): void =>
      void import('uplot').then(({ default: Plot }) => {
        addStyles()
        const element = place.current
        if (isOver || element === null) return
        plot.current?.destroy()
        resized?.disconnect()
        const stepped = Plot.paths.stepped?.({ align: 1 })
        const made = new Plot(optionsOf(element.clientWidth), latest.current as unknown as AlignedData, element)
        plot.current = made
        tellLast(made)
        resized = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: HEIGHT }))
        resized.observe(element)

        function optionsOf(width: number): Options {
          const style = getComputedStyle(document.documentElement)
          const color = (name: string): string => style.getPropertyValue(`--${name}`).trim()
          const font = '12px system-ui, sans-serif'
          const axis = { font, stroke: color('dim'), grid: { stroke: color('line'), width: 1 }, ticks: { show: false } }
          return {
            width,
            height: HEIGHT,
            cursor: { y: false },
            legend: { live: true },
            axes: [
              {
                ...axis,
                space: 70,
                size: 34,
                gap: 9,
                incrs: TIME_STEPS,
                values: (_, times, __, ___, step) => times.map((time) => tickText(time, step)),
              },
              { ...axis, size: widthOf, values: (_, ticks) => ticks.map((tick) => `${tick} ${unit}`) },
            ],
            scales: { y: { range: (_, __, most) => [0, max ?? ((most ?? 0) > 0 ? most * 1.1 : 1)] } },
            series: [
              { label: 'at', value: (self, time) => (time === null ? '–' : whenText(time, self.data[0])) },
              ...series.map((one): Series => {
                const stroke = color(one.color)
                return {
                  label: one.label,
                  stroke,
                  width: 2,
                  spanGaps: true,
                  points: {
                    show: one.isStepped === true,
                    size: 7,
                    fill: stroke,
                    ...(one.isStepped === true ? { filter: inner } : {}),
                  },
                  value: (_, value) => (value === null ? '–' : `${Number(value.toPrecision(4))} ${unit}`),
                  ...(one.isDashed === true ? { dash: [5, 4] } : {}),
                  ...(one.isStepped === true && stepped !== undefined ? { paths: stepped } : {}),
                }
              }),
            ],
          }
        }
      })
    draw()
    isDark.addEventListener('change', draw)
    return () => {
      isOver = true
      isDark.removeEventListener('change', draw)
      resized?.disconnect()
      plot.current?.destroy()
      plot.current = null
    }
  }, [series.map((one) => one.label).join()])
  useEffect(() => {
    plot.current?.setData(data as unknown as AlignedData)
    if (plot.current !== null) tellLast(plot.current)
  }, [data])
  return html`<figure class="chart"><figcaption>${label}</figcaption><div ref=${place} role="img" aria-label=${`${label}${spanText(data[0] ?? [])}`}></div></figure>`
}

/** The legend has the newest values where nobody points at others. */
function tellLast({ data, cursor, setLegend }: Plotted): void {
  if ((cursor.left ?? -1) < 0) setLegend({ idx: data[0].length - 1 })
}

/** Of the axis of values, in pixels. */
function widthOf(_: unknown, texts: readonly string[] | null): number {
  return 20 + 7 * Math.max(4, ...(texts ?? []).map(({ length }) => length))
}

function addStyles(): void {
  if (isStyled) return
  isStyled = true
  const link = document.createElement('link')
  link.rel = 'stylesheet'
  link.href = '/page/lib/uplot.css'
  document.head.prepend(link)
}

/** All points but the first and the last, which only say where a line begins and ends. */
function inner({ data: [times] }: { readonly data: AlignedData }): number[] {
  return Array.from({ length: Math.max(0, times.length - 2) }, (_, n) => n + 1)
}

/** From when to when, for those who see no axis. */
function spanText(times: readonly (number | null)[]): string {
  const [first, last] = [times[0], times.at(-1)]
  return first == null || last == null ? '' : `, from ${momentText(first)} to ${momentText(last)}`
}

/** With the day where the curve is longer than one. */
function whenText(time: number, times: ArrayLike<number> | undefined): string {
  const length = times === undefined || times.length === 0 ? 0 : (times[times.length - 1] ?? 0) - (times[0] ?? 0)
  return length > DAY_S ? momentText(time) : clockText(time)
}

function momentText(seconds: number): string {
  return timeText(new Date(seconds * 1000).toISOString())
}
