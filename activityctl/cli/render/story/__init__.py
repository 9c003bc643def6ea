"""One run or subscription told for a person: as text, as a timeline, as HTML and as SVG."""
