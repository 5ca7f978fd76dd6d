"""What a magazine sends (MAG-8): step stories, loop stories, extra issues; when each starts, and for whom. Deciding is
mail/recipients/, the way out mail/delivery/."""
