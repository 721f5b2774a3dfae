from dataclasses import dataclass, field


@dataclass
class ReadReport:
    files: int = 0
    lines: int = 0
    replaced_characters: int = 0
    first_replaced_at: str | None = None
    empty_files: list[str] = field(default_factory=list)
